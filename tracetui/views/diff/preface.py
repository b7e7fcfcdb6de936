"""What differs of two traces besides their numbers, and is said before these."""

from __future__ import annotations

from collections.abc import Iterable

from tracetui.analysis.diff.alignment.wrong_pairs import WrongPair
from tracetui.analysis.diff.preface import MISSING, FieldPair, Preface, TokenDifference
from tracetui.analysis.diff.report import Report
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.text import spans, visible
from tracetui.views.diff.effects import edit_lines
from tracetui.views.diff.format import entry, number, token
from tracetui.views.diff.left_out import alone_lines, skipped_lines
from tracetui.views.diff.weights import model_names, weight_lines

_SOME = 8


def preface_lines(comparison: Comparison, width: int, whole: bool = False) -> list[str]:
    """What differs besides the numbers: it is said first. `whole` names every site that isn't compared."""
    before = comparison.preface
    lines: list[str] = []
    if before.model_types:
        lines += entry("models", [f"A is a {before.model_types[0]}, B a {before.model_types[1]}"], width)
    for found in before.tokens[:_SOME]:
        lines += entry("tokens", [_tokens(found)], width)
    lines += entry("config", _config(before), width)
    lines += entry("weights", weight_lines(comparison.weights, model_names(comparison.a, comparison.b)), width)
    lines += edit_lines(comparison, width)
    if before.layers:
        lines += entry("layers", [f"A has {before.layers[0]}; B has {before.layers[1]}"], width)
    lines += entry("dtypes", [f"{a} in A, {b} in B: {times:,} sites" for a, b, times in before.dtypes], width)
    lines += entry("shapes", _misfits(comparison.misfits), width)
    return [*lines, *alone_lines(comparison, whole, width), *skipped_lines(comparison, whole, width)]


def narrow_lines(report: Report) -> list[str]:
    """`A's numbers are bfloat16, kept as float32 (57 tensors): held to bfloat16's tolerance`."""
    return [
        f"{letter}'s numbers are {narrow.dtype}, kept as {narrow.kept_as} ({narrow.count:,} tensors): held to "
        f"{narrow.dtype}'s tolerance"
        for letter, narrow in zip("AB", report.narrow, strict=True)
        if narrow is not None
    ]


def wrong_pair_lines(report: Report, width: int) -> list[str]:
    """Names that were taken for the same, and whose values can't be."""
    return entry("wrong pair", [_wrong_pair(found) for found in report.wrong_pairs], width)


def _wrong_pair(found: WrongPair) -> str:
    pair = found.site.pair
    names = f"{visible(pair.a.record.key)} in A is not {visible(pair.b.record.key)} in B"
    apart = f"{number(found.site.distance.relative)} off" if found.site.distance else "off"
    return f"{names}: {apart}, and what follows ({visible(found.agrees)}) agrees; not compared"


def _tokens(found: TokenDifference) -> str:
    row = f"row {found.row}, " if found.row else ""
    start = "nothing in common" if not found.position else "compared up to there"
    lengths = f"{found.lengths[0]:,} and {found.lengths[1]:,} tokens"
    return f"{row}from token {found.position} on: {token(found.a)} in A, {token(found.b)} in B; {lengths}; {start}"


def _config(before: Preface) -> list[str]:
    return [_field(field) for field in before.config]


def _field(field: FieldPair) -> str:
    return f"{visible(field.name, 60)}: {_value(field.a)} in A, {_value(field.b)} in B"


def _value(value: object) -> str:
    return "not there" if value is MISSING else visible(str(value), 60)


def _misfits(sites: Iterable[SiteDiff]) -> list[str]:
    """The same shapes at the same place of several layers are said once."""
    found: dict[tuple[str, str], list[SiteDiff]] = {}
    for site in sites:
        a, b = site.pair.a.record, site.pair.b.record
        found.setdefault((site.pair.record.site_in_layer, f"{list(a.shape)} in A, {list(b.shape)} in B"), []).append(
            site
        )
    return [f"{_place(group)}: {shapes}" for (_, shapes), group in found.items()]


def _place(sites: list[SiteDiff]) -> str:
    layers = sorted({layer for site in sites if (layer := site.pair.record.layer) is not None})
    return visible(
        f"layers.{spans(layers)}{sites[0].pair.record.site_in_layer}" if len(sites) > 1 and layers else sites[0].site
    )
