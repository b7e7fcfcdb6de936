"""Which token an element, or a row, of a compared tensor is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tracetui.analysis.axes import Axis, axes_of
from tracetui.analysis.diff.positions import first_position, place_in_expert
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.diff.routing.routed import is_expert
from tracetui.views.tokens import token_in

_TOKEN_AXES = ("T", "N", "S")


def config_of(comparison: Comparison) -> dict[str, object]:
    """Both configurations; A's fields count."""
    return {**comparison.b.run.config, **comparison.a.run.config}


def axes_in_words(site: SiteDiff, config: Mapping[str, object]) -> tuple[Axis, ...]:
    """The tensor's axes; the batch's by its word, since B is a side here."""
    return tuple(
        replace(axis, name="batch") if axis.name == "B" else axis for axis in axes_of(site.pair.record, config)
    )


def indices_by_name(site: SiteDiff, config: Mapping[str, object], index: Sequence[int]) -> dict[str, int]:
    """The index of an element, or of a row, by the names of its axes; empty where these aren't known."""
    names = [axis.name for axis in axes_in_words(site, config)]
    if is_expert(site.site) and names:
        # Rows are the tokens that chose it on both sides.
        names[0] = "n"
    return dict(zip(names, index, strict=False)) if len(names) - len(index) in (0, 1) else {}


def position_at(
    comparison: Comparison, site: SiteDiff, config: Mapping[str, object], index: Sequence[int]
) -> int | None:
    """The position of its token, counted from 0 in its row; None where it is of none, or nobody knows."""
    if is_expert(site.site):
        place = place_in_expert(comparison, site, index[0]) if index else None
        return place and place[1]
    indices = indices_by_name(site, config, index)
    name = next((name for name in _TOKEN_AXES if name in indices), "")
    if not name:
        return None
    first = first_position(comparison, site, list(indices).index(name), name)
    return None if first is None else first + indices[name]


def token_at(comparison: Comparison, site: SiteDiff, config: Mapping[str, object], index: Sequence[int]) -> str:
    """`token 7 “ait”`; empty where it is of no token, or nobody knows of which."""
    position = position_at(comparison, site, config, index)
    rows, row = comparison.a.tokens or comparison.b.tokens, indices_by_name(site, config, index).get("batch", 0)
    if is_expert(site.site) and index and (place := place_in_expert(comparison, site, index[0])) is not None:
        row = place[0]
    return "" if position is None or row >= len(rows) else token_in(rows[row], position)
