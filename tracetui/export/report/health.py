"""The report's word on what isn't finite: which record made it first, with what, and where."""

from __future__ import annotations

from tracetui.analysis.health.diagnosis import diagnose, first_unsound
from tracetui.export.report.markup import Html, el, join, section, text
from tracetui.recording.trace import Trace
from tracetui.views.config_lines import LineKind
from tracetui.views.health.lines import health_lines

_COLUMNS = 400
"""No line is wrapped: the browser does that."""


def health_part(trace: Trace) -> Html:
    """Who made the first NaN or infinity; nothing where every value is as it should be."""
    record = first_unsound(trace)
    if record is None:
        return Html("")
    title, *lines = health_lines(trace, diagnose(trace, record), _COLUMNS)
    told = [el("p", line.text, class_="bad") for line in lines if line.kind is LineKind.ALERT]
    rest = [join(text(line.text), Html("\n")) for line in lines if line.kind is not LineKind.ALERT]
    return section("health", "Not finite", *told, el("pre", *rest), lead=title.text)
