"""The frame of a report: one HTML document that fetches nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracetui.export.report.markup import Html, el, join
from tracetui.export.report.style import style

_POLICY = Html("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
"""A browser keeps to it whatever the file says: no script, nothing from anywhere else."""


def page(title: str, parts: Iterable[Html]) -> Iterator[Html]:
    """The document, piece by piece."""
    yield Html('<!doctype html>\n<html lang="en">\n')
    yield el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width,initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", f"{title} · tracetui"),
        el("style", style()),
    )
    yield Html("\n<body><main>")
    for part in parts:
        yield join(Html("\n"), part)
    yield el("footer", "Written by tracetui. This file fetches nothing and runs nothing.")
    yield Html("\n</main></body>\n</html>\n")
