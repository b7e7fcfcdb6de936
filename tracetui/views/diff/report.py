"""A comparison of two traces as plain lines of text at most 80 cells wide."""

from __future__ import annotations

from collections.abc import Iterator

from tracetui.analysis.diff.alignment.named import is_returned
from tracetui.analysis.diff.report import Report
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.diff.rounding.noise import NoiseReport
from tracetui.analysis.diff.routing.flips import Cause, Flip
from tracetui.analysis.mapping.fuzzy import Proposal
from tracetui.recording.trace import Trace
from tracetui.text import visible
from tracetui.views.cells import fit
from tracetui.views.diff.by_layer import layer_lines
from tracetui.views.diff.effects import by_edit, edit_lines, next_token_lines, residual_lines
from tracetui.views.diff.format import WIDTH, entry, number, wrapped
from tracetui.views.diff.made import given_end, verdict_end
from tracetui.views.diff.noise import noise_lines
from tracetui.views.diff.preface import narrow_lines, preface_lines, wrong_pair_lines
from tracetui.views.diff.rounded import rounded_end
from tracetui.views.diff.site import first_lines, row
from tracetui.views.diff.weights import weights_text
from tracetui.views.tokens import token_in

_SOME = 8


def diff_lines(
    report: Report,
    names: tuple[str, str],
    whole: bool = False,
    width: int = WIDTH,
    noise: NoiseReport | None = None,
) -> Iterator[str]:
    """What `tracetui diff` prints: what differs beforehand, the first divergence, the next, the layers, the verdict.

    `whole` lists every site that differs, or isn't compared.
    """
    comparison = report.comparison
    for letter, name in zip("AB", names, strict=True):
        yield fit(f"{letter}  {name}", width).rstrip()
    yield from _spaced(preface_lines(comparison, width, whole))
    yield from entry("map", report.unfit, width)
    yield from entry("positions", report.positions, width)
    yield from entry("numbers", narrow_lines(report), width)
    yield from wrong_pair_lines(report, width)
    told = edit_lines(comparison, width)
    if told:
        yield from next_token_lines(report.predicted, width)
        yield from residual_lines(comparison, width)
    if report.first is not None:
        yield ""
        yield from first_lines(report, width)
        yield from _others(comparison, report.first, None if whole else _SOME, width)
    yield from _flips(report, None if whole else _SOME, width)
    yield from layer_lines(comparison, width)
    if not told and not comparison.same:
        yield from next_token_lines(report.predicted, width)
    yield from _proposals(report, None if whole else _SOME, width)
    if noise is not None:
        yield ""
        yield from noise_lines(noise, width, None if whole else _SOME)
    yield ""
    yield from wrapped(verdict(report), width, "")


def verdict(report: Report) -> str:
    """One sentence: are they the same, and if not, where the fault is."""
    comparison = report.comparison
    if not comparison.compared and not comparison.misfits:
        return "Nothing to compare: no site of A is one of B's. Give names with --map, or try --fuzzy."
    checked = f"{comparison.compared:,} of {_sites(comparison):,} sites compared"
    if comparison.same and _few(comparison):
        return f"Same where they could be compared: {checked}, the rest has no counterpart. Try --fuzzy, or --map."
    if comparison.same:
        common = "Same as far as both have layers" if comparison.preface.layers else "Same"
        return f"{common}: {checked}, {_within(comparison)}{_returned(comparison)}."
    if report.first is None:
        causes = ["the prompts"] if comparison.preface.tokens else []
        causes += [f"the shapes of {len(comparison.misfits):,} sites"] if comparison.misfits else []
        if not comparison.compared:
            return f"Different in {' and '.join(causes)}; nothing could be compared."
        return f"Different in {' and '.join(causes)}; {checked}, all within tolerance."
    count = len(comparison.different)
    where = visible(report.first.site)
    return f"Different: {count:,} of {comparison.compared:,} sites compared, first at {where}{_fault(report)}."


def _returned(comparison: Comparison) -> str:
    """What a whole model returned, where the other side has nothing to hold it against."""
    alignment = comparison.alignment
    for letter, trace, alone in (("B", comparison.b, alignment.only_b), ("A", comparison.a, alignment.only_a)):
        named = next((each for each in alone if is_returned(each.record)), None)
        if named is None or trace.dump:
            continue
        compared = (pair.b if letter == "B" else pair.a for pair in alignment.pairs)
        if not any(trace.value(each.record) is trace.value(named.record) for each in compared):
            return f"; {visible(named.record.key)}, what {letter} returned, isn't among them"
    return ""


def _within(comparison: Comparison) -> str:
    if not comparison.explained:
        return "all within tolerance"
    return f"{comparison.explained:,} of them beyond tolerance by no more than rounding of their inputs makes"


def _fault(report: Report) -> str:
    if report.finding is not None and report.finding.edit is not None:
        return f", where {by_edit(report.finding.edit)}"
    if report.finding is not None and report.finding.rounded is not None:
        return rounded_end(report, report.finding.rounded)
    if report.tied:
        return ", where rounding flipped ties"
    if report.finding is not None and (unseen := report.finding.unseen) is not None:
        return f", where rounding may have flipped ties: the choice of experts was recorded in {unseen.side} only"
    if report.finding is not None and report.finding.weights:
        return f", whose inputs agree and whose {weights_text(report.finding.weights)}: no fault of what computes there"
    if report.carried and report.finding is not None and report.finding.undecided:
        return ", whole numbers that rounding of what they are made of may have changed"
    if report.carried:
        return ", where what its inputs bring along passes the tolerance"
    if report.feeds is not None and report.feeds.given is not None:
        return given_end(report.feeds.given)
    if not report.at_fault:
        return ""
    return verdict_end(report.finding) if report.finding is not None else ""


def _few(comparison: Comparison) -> bool:
    """Whether most records of both sides, with names that no table knows, have no partner."""
    alignment = comparison.alignment
    lone = (alignment.only_a, alignment.only_b)
    strange = any(not named.naming for side in lone for named in side)
    return strange and comparison.compared < min(len(side) for side in lone)


def _sites(comparison: Comparison) -> int:
    alignment = comparison.alignment
    return len(alignment.pairs) + len(alignment.only_a) + len(alignment.only_b)


def _spaced(lines: list[str]) -> list[str]:
    return ["", *lines] if lines else []


def _others(comparison: Comparison, first: SiteDiff, most: int | None, width: int) -> Iterator[str]:
    rest = [site for site in comparison.different if site is not first]
    if not rest:
        return
    shown = rest if most is None else rest[:most]
    yield ""
    yield (
        "Next, in order of execution"
        if len(shown) == len(rest)
        else (f"Next, in order of execution ({len(shown):,} of {len(rest):,}; --all shows all)")
    )
    for site in shown:
        yield f"  {row(site, width - 2)}"


def _flips(report: Report, most: int | None, width: int) -> Iterator[str]:
    if not report.flips:
        return
    causes = [(cause, sum(flip.cause is cause for flip in report.flips)) for cause in Cause]
    yield ""
    told = "; ".join(f"{cause.value}: {times:,}" for cause, times in causes if times)
    tokens = "1 token" if len(report.flips) == 1 else f"{len(report.flips):,} tokens"
    yield from wrapped(f"Routing: {tokens} chose other experts ({told})", width, "", "  ")
    for flip in report.flips[:most]:
        yield from wrapped(flip_text(report.comparison.a, flip), width, "  ", " " * 11)
    if most is not None and len(report.flips) > most:
        yield f"  and {len(report.flips) - most:,} more"


def flip_text(trace: Trace, flip: Flip) -> str:
    """One token's changed experts, with the margins that tell a tie from a fault."""
    tokens = trace.tokens[flip.prompt] if flip.prompt < len(trace.tokens) else ()
    row = f"row {flip.prompt}, " if len(trace.tokens) > 1 else ""
    where = f"layer {'?' if flip.layer is None else flip.layer}, {row}{token_in(tokens, flip.position)}"
    swapped = f"{_numbers(flip.only_a)} in A, {_numbers(flip.only_b)} in B"
    margins = [
        f"margin {number(margin)} in {side}"
        for side, margin in (("A", flip.margin_a), ("B", flip.margin_b))
        if margin is not None
    ]
    scores = [] if flip.apart is None else [f"scores {number(flip.apart)} apart"]
    why = f" ({flip.decided})" if flip.decided else ""
    return (
        "; ".join([f"{where}: {swapped}", *([", ".join([*margins, *scores])] if scores else []), flip.cause.value])
        + why
    )


def _numbers(experts: tuple[int, ...]) -> str:
    return f"expert{'s' if len(experts) > 1 else ''} {', '.join(map(str, experts))}"


def _proposals(report: Report, most: int | None, width: int) -> Iterator[str]:
    found = report.proposals
    if not found:
        return
    yield ""
    used = "compared because of --fuzzy" if report.fuzzy else "compared only with --fuzzy, or in a map: see --print-map"
    yield from wrapped(f"Names that may mean the same ({used})", width, "", "  ")
    for proposal in found[:most]:
        yield from _proposal(proposal, width)
    if most is not None and len(found) > most:
        yield f"  and {len(found) - most:,} more"


def _proposal(proposal: Proposal, width: int) -> Iterator[str]:
    names = f"{visible(proposal.a)} = {visible(proposal.b)}"
    yield from wrapped(f"{names}: {proposal.evidence}", width, "  ", "      ")
