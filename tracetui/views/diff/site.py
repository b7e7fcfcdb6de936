"""One site of a comparison: names, shape, numbers, the worst element, what fed it, what it looks like."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tracetui.analysis.axes import describe
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.diff.finding import Finding
from tracetui.analysis.diff.report import Report
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.diff.rounding.tolerance import Tolerance
from tracetui.analysis.diff.routing.routed import chooses
from tracetui.text import visible
from tracetui.views.cells import fit
from tracetui.views.diff.effects import by_edit
from tracetui.views.diff.format import INDENT, beside, end, entry, number, percent, wrapped
from tracetui.views.diff.made import given_line, made_lines
from tracetui.views.diff.rounded import rounded_lines
from tracetui.views.diff.token_places import axes_in_words, config_of, indices_by_name, token_at
from tracetui.views.diff.weights import weights_text

_ROOMY = 50
_NAMINGS = {
    "meta": "Meta's",
    "deepseek": "DeepSeek's",
    "gguf": "GGUF",
    "ggml": "llama.cpp's",
    "lens": "TransformerLens'",
    "megatron": "Megatron's",
    "torchtune": "torchtune's",
    "litgpt": "LitGPT's",
    "olmo_core": "OLMo-core's",
    "vllm": "vLLM's",
}


def first_lines(report: Report, width: int) -> Iterator[str]:
    """The first divergence; nothing if there is none."""
    if report.finding is not None:
        yield fit(f"First divergence: {report.finding.site.site}", width).rstrip()
        yield from finding_lines(report.comparison, report.finding, width)
    if report.beyond is not None:
        yield ""
        yield from wrapped(f"More than that rounding makes: {report.beyond.site.site}", width, "", "  ")
        yield from finding_lines(report.comparison, report.beyond, width)


def finding_lines(comparison: Comparison, finding: Finding, width: int) -> Iterator[str]:
    """Everything about a site but its name."""
    site = finding.site
    config = config_of(comparison)
    yield from _names(site, width)
    yield from entry("output", _part(site), width)
    yield from entry("shape", [_shape(site, config)], width)
    yield from entry("numbers", _numbers(site, config), width)
    yield from entry("worst", worst(comparison, site, config), width)
    yield from _feeds(comparison, finding, width)
    for hint in finding.hints:
        yield from entry("looks like", [hint.title, hint.evidence], width)


def _names(site: SiteDiff, width: int) -> Iterator[str]:
    for letter, named in (("A", site.pair.a), ("B", site.pair.b)):
        if named.record.key != site.site:
            yield from entry(f"in {letter}", [_own_name(named)], width)


def _part(site: SiteDiff) -> list[str]:
    """What `#1` means; nothing where a module returns one tensor."""
    number = site.pair.a.record.part
    ordinal = ("first", "second", "third", "fourth")[number] if number < 4 else f"{number + 1}th"
    return [f"#{number}: the {ordinal} of what the module returns"] if number else []


def _own_name(named: Named) -> str:
    naming = _NAMINGS.get(named.naming)
    return f"{visible(named.record.key)}{f' ({naming} name)' if naming else ''}"


def _shape(site: SiteDiff, config: dict[str, object]) -> str:
    a, b = site.pair.a.record, site.pair.b.record
    shown = describe(axes_in_words(site, config))
    shown += f" {a.dtype}" if a.dtype == b.dtype else f" {a.dtype} in A, {b.dtype} in B"
    if a.shape != b.shape:
        shown += f"; in B {list(b.shape)}"
    return f"{shown}; laid out anew: {site.laid_out}" if site.laid_out else shown


def _numbers(site: SiteDiff, config: dict[str, object]) -> list[str]:
    found, tolerance = site.distance, site.tolerance
    if found is None or tolerance is None:
        return [f"{site.outcome.value}: {site.why}" if site.why else site.outcome.value]
    if found.by_statistics:
        against = "more than" if site.outcome is Outcome.DIFFERENT else "within"
        kept = "values not kept on both sides; statistics differ by up to"
        limit = f"{number(tolerance.atol)} + {number(tolerance.rtol)}·|b|"
        return [f"{kept} {number(found.max_abs)}, {against} {limit}; they tell nothing of single rows"]
    relative = f"   max relative {number(found.max_rel)}" if math.isfinite(found.max_rel) else ""
    greatest = f"max |a-b| {number(found.max_abs)}{relative}"
    count = f"{found.off:,} of {found.numel:,} elements ({percent(found.share)}) off, by more than {_limit(tolerance)}"
    lines = [
        f"{greatest}   cosine {_cosine(found.cosine)}",
        f"|a-b|/|b| {number(found.relative)} over the whole tensor{_row(site, config)}",
        count,
    ]
    if site.jump:
        lines.append(f"within its dtype's tolerance, but {site.jump}")
    if found.unlike:
        what = "masked on one side only" if _masks(site) else "NaN or Inf where the other side has none, or another"
        lines.insert(0, f"{what}: {found.unlike:,} elements")
    return lines


def _limit(tolerance: Tolerance) -> str:
    """What an element may be off by, in words."""
    if tolerance.per_row == tolerance.rtol > 0:
        return f"{number(tolerance.rtol)}·(|b| + its row's rms)"
    if tolerance.per_row:
        return f"{number(tolerance.per_row)}·(its row's rms) + {number(tolerance.rtol)}·|b|"
    return f"{number(tolerance.atol)} + {number(tolerance.rtol)}·|b|"


def _row(site: SiteDiff, config: dict[str, object]) -> str:
    """How far apart the worst row is, and which that is; empty where there is one row only."""
    found = site.distance
    if found is None or found.row is None or not found.row.relative:
        return ""
    return f", {number(found.row.relative)} in the worst row {_where(site, config, found.row.index)}"


def worst(comparison: Comparison, site: SiteDiff, config: dict[str, object]) -> list[str]:
    """The worst element: its place with the token there, and both values; empty where there is none."""
    found = site.distance
    if found is None or found.worst is None:
        return []
    a, b = beside(found.worst_a, found.worst_b)
    if _masks(site):
        a, b = (text if math.isfinite(value) else "masked" for text, value in ((a, found.worst_a), (b, found.worst_b)))
    told = token_at(comparison, site, config, found.worst)
    return [f"{_where(site, config, found.worst)}{told and f' at {told}'}: {a} in A, {b} in B"]


def _where(site: SiteDiff, config: dict[str, object], index: tuple[int, ...]) -> str:
    """`[batch=0, T=5]`."""
    places = indices_by_name(site, config, index)
    return f"[{', '.join(f'{name}={place}' for name, place in places.items())}]" if places else str(list(index))


def _masks(site: SiteDiff) -> bool:
    """Whether minus infinity stands for an expert that can't be chosen."""
    return site.pair.record.role == "selection_scores"


def _feeds(comparison: Comparison, finding: Finding, width: int) -> Iterator[str]:
    feeds = finding.feeds
    lines = [row(fed, width - INDENT - 1) for fed in feeds.found]
    for place, line in enumerate(lines):
        yield f"{'' if place else 'fed by':<{INDENT}} {line}".rstrip()
    if finding.site.outcome is not Outcome.DIFFERENT:
        return
    yield from entry("" if lines else "fed by", _where_from(comparison, finding), width)


def _where_from(comparison: Comparison, finding: Finding) -> list[str]:
    """What its inputs say of where the fault is; empty where they differ too."""
    feeds = finding.feeds
    if finding.edit is not None or finding.weights or finding.rounded is not None:
        return _excuse(finding)
    if finding.tied:
        cause = "its inputs agree" if chooses(finding.site.site) else "other experts were chosen"
        return [f"{cause}: rounding flipped ties, see Routing"]
    if (unseen := finding.unseen) is not None:
        seen = (
            f"these agree; the choice of experts was recorded in {unseen.side} only, and there all tokens that differ"
        )
        return [f"{seen} were within rounding of another: whether it was another one can't be told"]
    if finding.undecided and feeds.agree:
        return ["whole numbers, made of what agrees but for rounding: whether that changed them can't be told"]
    if finding.brought:
        return ["what is made of its inputs' rounding may be all of it: no fault can be told here"]
    if finding.carried:
        return ["its inputs are almost as far apart: rounding that adds up, or a fault before"]
    if feeds.agree:
        return list(made_lines(comparison, finding))
    if feeds.found:
        return [] if feeds.given is None else [given_line(feeds.given)]
    if feeds.missing:
        return ["nothing that was recorded on both sides"]
    return ["no other tensor: it is made of weights and token ids or positions"]


def _excuse(finding: Finding) -> list[str]:
    """What makes a difference that is no fault: an edit, llama.cpp's rounding, or other weights."""
    if finding.edit is not None:
        return [f"{'its inputs agree: ' if finding.feeds.agree else ''}{by_edit(finding.edit)}"]
    if finding.rounded is not None:
        return rounded_lines(finding.rounded)
    return [f"its inputs agree, and its {weights_text(finding.weights)}: no fault of what computes here"]


def _cosine(value: float) -> str:
    """With as many nines as it has."""
    return f"{value:.4f}" if abs(value) < 0.9999 else f"1-{1 - abs(value):.1e}" if abs(value) < 1 else f"{value:.0f}"


def row(site: SiteDiff, width: int) -> str:
    """A site and how far apart it is, in `width` cells."""
    found = site.distance
    if found is None:
        right = f"{site.outcome.value:>14} {'':>8}"
    elif site.outcome is Outcome.SAME:
        right = f"{'agrees':>12} {number(found.furthest):>10}"
    else:
        share = "statistics" if found.by_statistics else f"{percent(found.share)} off"
        right = f"{share:>12} {number(found.furthest):>10}"
    if width < _ROOMY:
        # The name tells more than how many elements are off.
        right = "agrees" if site.outcome is Outcome.SAME else site.outcome.value if found is None else right[-9:]
    return f"{end(site.site, width - len(right) - 2)}  {right}"
