"""In words: llama.cpp rounded what it multiplies, and what is further apart than that makes it."""

from __future__ import annotations

from tracetui.analysis.diff.printed import is_log
from tracetui.analysis.diff.report import Report
from tracetui.analysis.diff.rounding.rounded_products import RoundedProduct
from tracetui.text import visible
from tracetui.views.diff.format import number
from tracetui.views.diff.made import verdict_end

_ADVICE = (
    "to compare exactly, take a GGUF in float32 on both sides: convert with --outtype f32, or llama-quantize "
    "--allow-requantize model.gguf f32.gguf F32"
)


def rounded_lines(rounded: RoundedProduct) -> list[str]:
    """What a product's inputs say of where it differs."""
    way, other = rounded.rounding, "B" if rounded.side == "A" else "A"
    what = (
        f"its inputs agree, and {rounded.side}, llama.cpp, rounds them to {way.words} before it multiplies them with "
        f"{way.weights} weights; {other} doesn't. That makes about {number(rounded.expected)} for the "
        f"{number(rounded.apart)} that is there: no fault"
    )
    return [what, _ADVICE]


def rounded_end(report: Report, rounded: RoundedProduct) -> str:
    """How the verdict goes on after the first site."""
    way, further = rounded.rounding, report.beyond
    start = (
        f", where llama.cpp ({rounded.side}) multiplies {way.weights} weights with inputs rounded to {way.words}: "
        f"{number(rounded.apart)} apart by that, no fault. "
    )
    exact = "A GGUF in float32 on both sides (--outtype f32) leaves this rounding out"
    if any(map(is_log, (report.comparison.a, report.comparison.b))):
        return f"{start}A log has too few values to tell what later differences are. {exact}"
    if further is None:
        until = f" up to {visible(report.judged_until)}, where whole numbers differ" if report.judged_until else ""
        return f"{start}Nothing later{until} is further apart than that, grown over the layers, explains. {exact}"
    where = visible(further.site.site)
    cause = verdict_end(further) if further.at_fault else ""
    return f"{start}First beyond what that explains: {where}{cause or ', too far apart for it'}. {exact}"
