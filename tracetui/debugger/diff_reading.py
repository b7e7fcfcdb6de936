"""What the diff's panes show of one site, read from both traces where nobody waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tracetui.analysis.attention.scores import KINDS, AttentionView, Matrix, attention_at
from tracetui.analysis.attention.scores import Kind as Scores
from tracetui.analysis.axes import Axis
from tracetui.analysis.diff.finding import Finding
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.diff.sides import Sides, sides
from tracetui.analysis.diff.survey import Survey
from tracetui.debugger.labels import position_labels
from tracetui.debugger.planes import Plane, plane_of, query_heads
from tracetui.errors import TracetuiError
from tracetui.recording.record import Record
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue, magnitudes
from tracetui.views.heatmap.axes import Axis as MapAxis
from tracetui.views.heatmap.matrix import HeatmapData, heatmap_data, nothing
from tracetui.views.heatmap.pyramid import Kind, common_scale

TENSOR = "tensor"
"""The plane of the tensor itself; the others are those of the attention call that it belongs to."""
PLANES = (TENSOR, *KINDS)
LETTERS = ("A", "B", "A−B")
_MAX_CELLS = 1 << 23
"""Of a plane that is drawn."""
_TOKEN_AXES = ("T", "S", "N", "query", "key")


@dataclass(frozen=True, slots=True)
class Wanted:
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
    heads: int = 0
    """How many heads there are to choose from; 0 where there are none."""


@dataclass(frozen=True, eq=False, slots=True)
class SiteView:
    """All that is shown of a site; a site of one side alone has statistics of that side only."""

    wanted: Wanted
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


def read_site(survey: Survey, wanted: Wanted, before: SiteView, to_worst: bool) -> SiteView:
    """What a site shows; `before` is what was on view, of which the same site's numbers are taken over."""
    try:
        return _read(survey, wanted, before, to_worst)
    except (TracetuiError, OSError, MemoryError) as error:
        return SiteView(wanted, problem=str(error) or type(error).__name__)


def _read(survey: Survey, wanted: Wanted, before: SiteView, to_worst: bool) -> SiteView:
    comparison = survey.report.comparison
    site = survey.sites.get(wanted.site)
    if site is None:
        return _alone(comparison, wanted)
    same = before.wanted.site == wanted.site and before.finding is not None and not before.problem
    finding = before.finding if same else survey.finding(wanted.site)
    pair = site.pair
    statistics = (
        before.statistics if same else (comparison.a.statistics(pair.a.record), comparison.b.statistics(pair.b.record))
    )
    if wanted.plane == TENSOR:
        keep = before.planes if same and before.wanted.plane == TENSOR and isinstance(before.planes, Planes) else None
        found = keep.sides if keep else sides(comparison, site)
    else:
        found = _attention(comparison, site, wanted)
    if isinstance(found, str):
        return SiteView(wanted, finding, statistics, planes=found, pictures=tuple(nothing(found) for _ in LETTERS))
    config = config_of(comparison)
    cell = (0, 0)
    if to_worst and wanted.plane == TENSOR:
        wanted, cell = _at_worst(site, found.record, wanted, config)
    planes = _planes(comparison, found, wanted, config)
    pictures = pictures_of(planes, wanted.own_scale) if wanted.drawn else ()
    return SiteView(wanted, finding, statistics, None, planes, pictures, cell)


def config_of(comparison: Comparison) -> dict[str, object]:
    """Both configurations; A's fields count."""
    return {**comparison.b.run.config, **comparison.a.run.config}


def _alone(comparison: Comparison, wanted: Wanted) -> SiteView:
    alignment = comparison.alignment
    for side, (lone, ahead, trace) in enumerate(
        ((alignment.only_a, alignment.ahead_a, comparison.a), (alignment.only_b, alignment.ahead_b, comparison.b))
    ):
        named = next((named for named in (*lone, *ahead) if named.site == wanted.site), None)
        if named is not None:
            found = trace.statistics(named.record)
            told = f"Only {'AB'[side]} has this tensor: there is nothing to compare it with."
            if named in ahead:
                told = f"{'BA'[side]}'s run has not come to this yet: there is nothing to compare it with."
            both = (found, None) if side == 0 else (None, found)
            return SiteView(wanted, None, both, named.record, told, tuple(nothing(told) for _ in LETTERS))
    return SiteView(wanted, planes="nothing was recorded here")


def _attention(comparison: Comparison, site: SiteDiff, wanted: Wanted) -> Sides | str:
    """A head's scores of the call that a site belongs to, computed again from each side's q and k."""
    found = _views(comparison, site)
    if isinstance(found, str):
        return found
    kind: Scores = next(kind for kind in KINDS if kind == wanted.plane)
    a, b = (_matrix(view, kind, wanted) for view in found)
    if a.shape != b.shape:
        return f"The attention's shapes don't go together: {list(a.shape)} in A, {list(b.shape)} in B."
    record = Record(0, f"{found[0].site}:{kind}", a.shape, "float32", 0)
    return Sides(record, ArrayValue(a), ArrayValue(b))


def _views(comparison: Comparison, site: SiteDiff) -> tuple[AttentionView, AttentionView] | str:
    a, b = (_view(trace, named.record) for trace, named in ((comparison.a, site.pair.a), (comparison.b, site.pair.b)))
    if a is None or b is None:
        lacking = " nor ".join(letter for letter, view in (("A", a), ("B", b)) if view is None)
        return f"No attention that this belongs to is recorded in {lacking}."
    return a, b


def _view(trace: Trace, record: Record) -> AttentionView | None:
    return attention_at(trace, record)


def _matrix(view: AttentionView, kind: Scores, wanted: Wanted) -> Matrix:
    return view.matrix(kind, min(wanted.head, view.heads - 1), min(wanted.batch, view.batch - 1))


def _at_worst(
    site: SiteDiff, record: Record, wanted: Wanted, config: Mapping[str, object]
) -> tuple[Wanted, tuple[int, int]]:
    """The head, prompt and cell of the element that is furthest apart."""
    place = site.distance.worst if site.distance else None
    if place is None or len(place) != len(record.shape) or not place:
        return wanted, (0, 0)
    batch = place[0] if len(place) > 2 else wanted.batch
    for head in range(max(1, query_heads(config)) if len(place) > 2 else 1):
        plane = plane_of(record, config, head, batch)
        inside = plane.column0 <= place[-1] < plane.column0 + plane.columns.length
        if inside and (plane.part or tuple(plane.leading) == tuple(place[:-2])):
            return replace(wanted, head=head, batch=batch), (
                place[-2] if len(place) > 1 else 0,
                place[-1] - plane.column0,
            )
    return wanted, (0, 0)


def _planes(comparison: Comparison, found: Sides, wanted: Wanted, config: Mapping[str, object]) -> Planes:
    if wanted.plane == TENSOR:
        plane = plane_of(found.record, config, wanted.head, wanted.batch)
        heads = query_heads(config) if plane.note else 0
    else:
        rows, columns = found.record.shape
        plane = Plane(Axis("query", rows), Axis("key", columns), note=f"head {wanted.head}")
        heads = query_heads(config)
    row_labels, column_labels = (_labels(comparison, axis, wanted.batch) for axis in (plane.rows, plane.columns))
    return Planes(found, plane, row_labels, column_labels, heads)


def _labels(comparison: Comparison, axis: Axis, batch: int) -> tuple[str, ...]:
    """The tokens' texts along an axis that counts them."""
    tokens = comparison.a.tokens or comparison.b.tokens
    if axis.name not in _TOKEN_AXES or not tokens or (axis.name == "N" and len(tokens) > 1):
        return ()
    longest = max(map(len, tokens))
    if axis.length > longest:
        return ()
    return position_labels(tokens[min(batch, len(tokens) - 1)], range(axis.length))


def pictures_of(planes: Planes, own_scale: bool) -> tuple[HeatmapData, ...]:
    """A, B and A−B as heatmaps on one scale, or A−B on its own."""
    plane = planes.plane
    if plane.rows.length * plane.columns.length > _MAX_CELLS:
        told = "This plane is too large to be drawn; its values are in pane 3"
        return tuple(nothing(told) for _ in LETTERS)
    rows, columns = slice(0, plane.rows.length), slice(0, plane.columns.length)
    matrices = tuple(matrix.astype(np.float32) for matrix in part_of(planes, rows, columns))
    if not matrices[0].size:
        return tuple(nothing("Nothing to show: the matrix has no cells") for _ in LETTERS)
    kinds = (Kind.LINEAR, Kind.LOG)
    shared = matrices[:2] if own_scale else matrices
    scales = {kind: common_scale(shared, kind, diverging=True) for kind in kinds}
    axes = (
        MapAxis.of(plane.rows.name, plane.rows.length, planes.row_labels),
        MapAxis.of(plane.columns.name, plane.columns.length, planes.column_labels),
    )
    found = []
    for letter, matrix in zip(LETTERS, matrices, strict=True):
        own = own_scale and letter == LETTERS[2]
        title = f"{letter}{' · its own scale' if own else ''}"
        found.append(
            heatmap_data(matrix, *axes, diverging=True, kinds=kinds, title=title, scales=None if own else scales)
        )
    return tuple(found)


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
