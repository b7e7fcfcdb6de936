"""The report as one HTML document: a trace, everything worth seeing, in one file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from tracetui.analysis.diff.report import Report
from tracetui.export.report.attention import attention_part
from tracetui.export.report.differences import diff_part
from tracetui.export.report.health import health_part
from tracetui.export.report.layers import layer_part, record_part, residual_part
from tracetui.export.report.markup import Html, el, join
from tracetui.export.report.opening import head_part, prediction_part, token_part
from tracetui.export.report.routing import routing_part
from tracetui.export.report.style import style
from tracetui.recording.trace import Trace

_POLICY = Html("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
"""A browser keeps to it whatever the file says: no script, nothing from anywhere else."""
_TITLES = {
    "diff": "Difference",
    "health": "Not finite",
    "tokens": "Tokens",
    "next": "Next token",
    "residual": "Residual stream",
    "layers": "Layers",
    "experts": "Experts",
    "attention": "Attention",
    "records": "Records",
}


def write_report(trace: Trace, file: IO[bytes], report: Report | None = None, names: tuple[str, str] = ("", "")) -> str:
    """Write the report, with a comparison if there is one; returns the names of its sections.

    The same trace gives the same bytes.
    """
    parts = {anchor: part for anchor, part in _parts(trace, report, names) if part}
    for piece in _document(trace, parts):
        file.write(piece.encode())
    return ", ".join(_TITLES[anchor].lower() for anchor in parts)


def _parts(trace: Trace, report: Report | None, names: tuple[str, str]) -> Iterator[tuple[str, Html]]:
    if report is not None:
        yield "diff", diff_part(report, names)
    yield "health", health_part(trace)
    yield "tokens", token_part(trace) if trace.tokens else Html("")
    yield "next", prediction_part(trace)
    yield "residual", residual_part(trace)
    yield "layers", layer_part(trace)
    yield "experts", routing_part(trace)
    yield "attention", attention_part(trace)
    yield "records", record_part(trace)


def _document(trace: Trace, parts: dict[str, Html]) -> Iterator[Html]:
    yield Html('<!doctype html>\n<html lang="en">\n')
    yield el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width,initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", f"{trace.run.model or 'trace'} · tracetui"),
        el("style", style()),
    )
    yield Html("\n<body><main>\n")
    yield head_part(trace, [(anchor, _TITLES[anchor]) for anchor in parts])
    for part in parts.values():
        yield join(Html("\n"), part)
    yield el("footer", "Written by tracetui. This file fetches nothing and runs nothing.")
    yield Html("\n</main></body>\n</html>\n")
