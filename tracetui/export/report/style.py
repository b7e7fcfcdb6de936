"""The report's looks: light or dark as the reader's system is, with the fonts that it has."""

from __future__ import annotations

from importlib import resources

from tracetui.export.report.markup import Html


def style() -> Html:
    """The style sheet; foreign text never comes into it."""
    return Html(resources.files("tracetui.export.report").joinpath("style.css").read_text(encoding="utf-8"))
