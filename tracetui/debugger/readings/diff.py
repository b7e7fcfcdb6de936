"""What the diff's panes show of one site, read from both traces where nobody waits for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracetui.analysis.attention.kinds import KINDS
from tracetui.analysis.attention.kinds import Kind as Scores
from tracetui.analysis.attention.scores import AttentionView, Matrix, attention_at
from tracetui.analysis.axes import Axis, axes_of, axis_positions
from tracetui.analysis.diff.finding import Finding
from tracetui.analysis.diff.positions import first_position
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.diff.sides import Sides, sides
from tracetui.analysis.diff.survey import Survey
from tracetui.debugger.labels import position_labels
from tracetui.debugger.readings.planes import Plane, plane_of, query_heads
from tracetui.errors import TracetuiError
from tracetui.recording.record import Record
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue, magnitudes
from tracetui.views.diff.token_places import config_of
from tracetui.views.heatmap.axes import LabelledAxis as MapAxis
from tracetui.views.heatmap.matrix import HeatmapData, heatmap_data, nothing
from tracetui.views.heatmap.pyramid import common_scale
from tracetui.views.heatmap.scale import Scale, ScaleKind
from tracetui.views.heatmap.scales import counted, number_range, outlier_scales
from tracetui.views.place import noun

TENSOR = "tensor"
"""The plane of the tensor itself; the others are those of the attention call that it belongs to."""
PLANES = (TENSOR, *KINDS)
LETTERS = ("A", "B", "A−B")
_MAX_CELLS = 1 << 23
"""Of a plane that is drawn."""


@dataclass(frozen=True, slots=True)
class SiteTarget:
    """What is to be seen of which site."""

    site: str = ""
    plane: str = TENSOR
    head: int = 0
    batch: int = 0
    own_scale: bool = False
    """Whether A−B gets a scale of its own."""
    drawn: bool = False
    """Whether the planes are to be drawn."""


@dataclass(frozen=True, eq=False, slots=True)
class Planes:
    """One matrix of both sides."""

    sides: Sides
    plane: Plane
    row_labels: tuple[str, ...] = ()
    column_labels: tuple[str, ...] = ()
    first: tuple[int, int] = (0, 0)
    """The positions of the first row and column, where these are tokens; else 0."""
    heads: int = 0
    """How many heads there are to choose from; 0 where there are none."""


@dataclass(frozen=True, eq=False, slots=True)
class SiteView:
    """All that is shown of a site; a site of one side alone has statistics of that side only."""

    wanted: SiteTarget
    finding: Finding | None = None
    statistics: tuple[Statistics | None, Statistics | None] = (None, None)
    alone: Record | None = None
    """The record of a site that one side lacks."""
    planes: Planes | str = ""
    """Or in words why there are none."""
    pictures: tuple[HeatmapData, ...] = ()
    """Of A, B and A−B."""
    cell: tuple[int, int] = (0, 0)
    """The worst element's row and column, where the site has just been come to."""
    problem: str = ""


def read_site(survey: Survey, target: SiteTarget, before: SiteView, to_worst: bool) -> SiteView:
    """What a site shows; `before` is what was on view, of which the same site's numbers are taken over."""
    try:
        return _read(survey, target, before, to_worst)
    except (TracetuiError, OSError, MemoryError) as error:
        return SiteView(target, problem=str(error) or type(error).__name__)


def _read(survey: Survey, target: SiteTarget, before: SiteView, to_worst: bool) -> SiteView:
    comparison = survey.report.comparison
    site = survey.sites.get(target.site)
    if site is None:
        return _alone(comparison, target)
    same = before.wanted.site == target.site and before.finding is not None and not before.problem
    finding = before.finding if same else survey.finding(target.site)
    pair = site.pair
    statistics = (
        before.statistics if same else (comparison.a.statistics(pair.a.record), comparison.b.statistics(pair.b.record))
    )
    if target.plane == TENSOR:
        keep = before.planes if same and before.wanted.plane == TENSOR and isinstance(before.planes, Planes) else None
        values = keep.sides if keep else sides(comparison, site)
    else:
        values = _attention(comparison, site, target)
    if isinstance(values, str):
        return SiteView(target, finding, statistics, planes=values, pictures=tuple(nothing(values) for _ in LETTERS))
    config = config_of(comparison)
    cell = (0, 0)
    if to_worst and target.plane == TENSOR:
        target, cell = _at_worst(site, values.record, target, config)
    planes = _planes(comparison, site, values, target, config)
    pictures = pictures_of(planes, target.own_scale) if target.drawn else ()
    return SiteView(target, finding, statistics, None, planes, pictures, cell)


def _alone(comparison: Comparison, target: SiteTarget) -> SiteView:
    alignment = comparison.alignment
    for side, (lone, ahead, trace) in enumerate(
        ((alignment.only_a, alignment.ahead_a, comparison.a), (alignment.only_b, alignment.ahead_b, comparison.b))
    ):
        named = next((named for named in (*lone, *ahead) if named.site == target.site), None)
        if named is not None:
            statistics = trace.statistics(named.record)
            words = f"Only {'AB'[side]} has this tensor: there is nothing to compare it with."
            if named in ahead:
                words = f"{'BA'[side]}'s run has not come to this yet: there is nothing to compare it with."
            both = (statistics, None) if side == 0 else (None, statistics)
            return SiteView(target, None, both, named.record, words, tuple(nothing(words) for _ in LETTERS))
    return SiteView(target, planes="nothing was recorded here")


def _attention(comparison: Comparison, site: SiteDiff, target: SiteTarget) -> Sides | str:
    """A head's scores of the call that a site belongs to, computed again from each side's q and k."""
    views = _views(comparison, site)
    if isinstance(views, str):
        return views
    kind: Scores = next(kind for kind in KINDS if kind == target.plane)
    a, b = (_matrix(view, kind, target) for view in views)
    if a.shape != b.shape:
        return f"The attention's shapes don't go together: {list(a.shape)} in A, {list(b.shape)} in B."
    record = Record(0, f"{views[0].site}:{kind}", a.shape, "float32", 0)
    return Sides(record, ArrayValue(a), ArrayValue(b))


def _views(comparison: Comparison, site: SiteDiff) -> tuple[AttentionView, AttentionView] | str:
    a, b = (_view(trace, named.record) for trace, named in ((comparison.a, site.pair.a), (comparison.b, site.pair.b)))
    if a is None or b is None:
        lacking = " nor ".join(letter for letter, view in (("A", a), ("B", b)) if view is None)
        return f"No attention that this belongs to is recorded in {lacking}."
    return a, b


def _view(trace: Trace, record: Record) -> AttentionView | None:
    return attention_at(trace, record)


def _matrix(view: AttentionView, kind: Scores, target: SiteTarget) -> Matrix:
    return view.matrix(kind, min(target.head, view.heads - 1), min(target.batch, view.batch - 1))


def _at_worst(
    site: SiteDiff, record: Record, target: SiteTarget, config: Mapping[str, object]
) -> tuple[SiteTarget, tuple[int, int]]:
    """The head, prompt and cell of the element that is furthest apart."""
    place = site.distance.worst if site.distance else None
    if place is None or len(place) != len(record.shape) or not place:
        return target, (0, 0)
    batch = place[0] if len(place) > 2 else target.batch
    for head in range(max(1, query_heads(config)) if len(place) > 2 else 1):
        plane = plane_of(record, config, head, batch)
        inside = plane.column0 <= place[-1] < plane.column0 + plane.columns.length
        if inside and (plane.part or tuple(plane.leading) == tuple(place[:-2])):
            return replace(target, head=head, batch=batch), (
                place[-2] if len(place) > 1 else 0,
                place[-1] - plane.column0,
            )
    return target, (0, 0)


def _planes(
    comparison: Comparison, site: SiteDiff, values: Sides, target: SiteTarget, config: Mapping[str, object]
) -> Planes:
    if target.plane == TENSOR:
        plane = plane_of(values.record, config, target.head, target.batch)
        heads = query_heads(config) if plane.note else 0
    else:
        rows, columns = values.record.shape
        plane = Plane(Axis("query", rows), Axis("key", columns), note=f"head {target.head}")
        heads = query_heads(config)
    firsts = [_first(comparison, site, target, values.record, axis) for axis in (plane.rows, plane.columns)]
    row_labels, column_labels = (
        _labels(comparison, axis, target.batch, first)
        for axis, first in zip((plane.rows, plane.columns), firsts, strict=True)
    )
    return Planes(values, plane, row_labels, column_labels, (firsts[0] or 0, firsts[1] or 0), heads)


def _first(comparison: Comparison, site: SiteDiff, target: SiteTarget, record: Record, axis: Axis) -> int | None:
    """The position of an axis' first place; None where it counts none."""
    if target.plane != TENSOR:
        positions = axis_positions(axis.name, axis.length, comparison.a, site.pair.a.record.pass_)
        return None if positions is None else positions.start
    names = [each.name for each in axes_of(record, config_of(comparison))]
    return first_position(comparison, site, names.index(axis.name), axis.name) if axis.name in names else None


def _labels(comparison: Comparison, axis: Axis, batch: int, first: int | None) -> tuple[str, ...]:
    """The tokens' texts along an axis that counts them from a position on."""
    tokens = comparison.a.tokens or comparison.b.tokens
    if first is None or not tokens or first + axis.length > max(map(len, tokens)):
        return ()
    return position_labels(tokens[min(batch, len(tokens) - 1)], range(first, first + axis.length))


def pictures_of(planes: Planes, own_scale: bool) -> tuple[HeatmapData, ...]:
    """A, B and A−B as heatmaps on one scale, or A−B on its own."""
    plane = planes.plane
    if plane.rows.length * plane.columns.length > _MAX_CELLS:
        words = "This plane is too large to be drawn; its values are in pane 7"
        return tuple(nothing(words) for _ in LETTERS)
    rows, columns = slice(0, plane.rows.length), slice(0, plane.columns.length)
    matrices = tuple(matrix.astype(np.float32) for matrix in part_of(planes, rows, columns))
    if not matrices[0].size:
        return tuple(nothing("Nothing to show: the matrix has no cells") for _ in LETTERS)
    shared = _scales_of(matrices[:2] if own_scale else matrices)
    apart = _scales_of(matrices[2:]) if own_scale else shared
    axes = (
        MapAxis.of(noun(plane.rows.name, "row"), plane.rows.length, planes.row_labels, planes.first[0]),
        MapAxis.of(noun(plane.columns.name, "channel"), plane.columns.length, planes.column_labels, planes.first[1]),
    )
    pictures = []
    for letter, matrix in zip(LETTERS, matrices, strict=True):
        own = own_scale and letter == LETTERS[2]
        title = f"{letter}{' · its own scale' if own else ''}"
        scales = {kind: counted(scale, matrix) for kind, scale in (apart if own else shared).items()}
        pictures.append(heatmap_data(matrix, *axes, diverging=True, kinds=tuple(scales), title=title, scales=scales))
    return tuple(pictures)


def _scales_of(matrices: Sequence[Array]) -> dict[ScaleKind, Scale]:
    """Scales around zero that all of these matrices share."""
    numbers = number_range(matrices)
    if numbers is None:
        return {kind: common_scale(matrices, kind, diverging=True) for kind in (ScaleKind.LINEAR, ScaleKind.LOG)}
    return outlier_scales(matrices, numbers, diverging=True)


def part_of(planes: Planes, rows: slice, columns: slice) -> tuple[Array, Array, Array]:
    """A part of A, B and A−B; of complex numbers the magnitudes."""
    a, b = (planes.plane.cells(value, rows, columns) for value in (planes.sides.a, planes.sides.b))
    return magnitudes(a), magnitudes(b), magnitudes(difference(a, b))


def difference(a: Array, b: Array) -> Array:
    """A − B; where both are the same infinity, 0."""
    a, b = (_signed(array) for array in (a, b))
    with np.errstate(all="ignore"):
        return np.where(a == b, a.dtype.type(0), np.subtract(a, b))


def _signed(array: Array) -> Array:
    """Numbers that can be subtracted without going round."""
    if array.dtype == np.uint64:
        return array.astype(np.float64)
    return array.astype(np.int64) if array.dtype.kind in "biu" else array
