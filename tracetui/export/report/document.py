"""The report as one HTML document: a trace, everything worth seeing, in one file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from tracetui.analysis.diff.report import Report
from tracetui.export.report.attention import attention_part
from tracetui.export.report.differences import diff_part
from tracetui.export.report.health import health_part
from tracetui.export.report.layers import layer_part, record_part, residual_part
from tracetui.export.report.markup import Html
from tracetui.export.report.opening import head_part, prediction_part, token_part
from tracetui.export.report.page import page
from tracetui.export.report.quantised import weights_part
from tracetui.export.report.routing import routing_part
from tracetui.recording.trace import Trace

_TITLES = {
    "diff": "Difference",
    "weights": "Weights",
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
    for piece in page(trace.run.model or "trace", _document(trace, parts)):
        file.write(piece.encode())
    return ", ".join(_TITLES[anchor].lower() for anchor in parts)


def _parts(trace: Trace, report: Report | None, names: tuple[str, str]) -> Iterator[tuple[str, Html]]:
    if report is not None:
        yield "diff", diff_part(report, names)
        yield "weights", weights_part(report.comparison.weights)
    yield "health", health_part(trace)
    yield "tokens", token_part(trace) if trace.tokens else Html("")
    yield "next", prediction_part(trace)
    yield "residual", residual_part(trace)
    yield "layers", layer_part(trace)
    yield "experts", routing_part(trace)
    yield "attention", attention_part(trace)
    yield "records", record_part(trace)


def _document(trace: Trace, parts: dict[str, Html]) -> Iterator[Html]:
    yield head_part(trace, [(anchor, _TITLES[anchor]) for anchor in parts])
    yield from parts.values()
