"""What pane 3 shows, read from the trace where nobody waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracetui.analysis.attention.heads import UnexplainedError, head_identity
from tracetui.analysis.attention.kinds import KINDS, Kind
from tracetui.analysis.attention.mla import LATENT_KINDS, CacheCost, LatentKind, LatentView, cache_cost, latent_of
from tracetui.analysis.attention.reach import Reach, is_quick, reach_of
from tracetui.analysis.attention.scores import AttentionView, Matrix, attention_at
from tracetui.analysis.axes import axis_positions
from tracetui.analysis.identity import Identity
from tracetui.debugger.labels import position_labels, row_name
from tracetui.debugger.session import Module
from tracetui.debugger.state import ScreenState
from tracetui.text import visible
from tracetui.views.heatmap.attention_scales import attention_scales
from tracetui.views.heatmap.axes import LabelledAxis
from tracetui.views.heatmap.matrix import HeatmapData, heatmap_data, nothing
from tracetui.views.heatmap.pyramid import Mask
from tracetui.views.heatmap.scale import ScaleKind

if TYPE_CHECKING:
    from tracetui.analysis.rope.pairs import RopeCheck, Untold

Shown = Kind | LatentKind
SHOWN: tuple[Shown, ...] = (*KINDS, *LATENT_KINDS)
_AXES: Mapping[Shown, tuple[str, str]] = {"kv_latent": ("key", "R"), "k_rope": ("key", "rope")}
"""Of the planes that aren't queries by keys."""
_OWN_KINDS = (ScaleKind.LINEAR, ScaleKind.LOG, ScaleKind.ROWS)
"""Of a plane whose own numbers span its scales."""
_INPUTS = ("k", "v", "mask", "sinks", "position_bias", "kv_latent", "k_rope", "q_absorbed")


@dataclass(frozen=True, eq=False, slots=True)
class AttentionPlane:
    """One head of one attention call, ready to be drawn."""

    view: AttentionView
    kind: Shown
    head: int
    batch: int
    picture: HeatmapData
    latent: LatentView | None = None
    cost: CacheCost | None = None
    """What a cache takes, where there is a latent."""
    reach: Reach | None = None
    """Of all heads of the call; None where nobody has gone through them yet."""
    read_for: tuple[object, ...] = ()
    """What it was read for: for the same it is the same."""

    @property
    def kinds(self) -> tuple[Shown, ...]:
        """What there is to see of this call."""
        return (*KINDS, *LATENT_KINDS) if self.latent else KINDS

    @property
    def latent_kind(self) -> bool:
        """Whether one of the planes is on view that only latent attention has."""
        return self.kind in LATENT_KINDS

    @property
    def ran(self) -> bool:
        """Whether the kernel's output is recorded."""
        return self.view.beside("heads") is not None

    def is_of(self, state: ScreenState, kind: Shown, scale: ScaleKind | None) -> bool:
        """Whether as much was recorded when it was read as now, and it was read as what is looked at now."""
        head, batch = min(state.head, self.view.heads - 1), min(state.batch, self.view.batch - 1)
        asked = (state.trace, state.frontier, head, batch, kind, scale)
        return bool(self.read_for) and asked == (self.read_for[0], *self.read_for[2:7])

    def serves(self, read_for: tuple[object, ...]) -> bool:
        """Whether it would be read again as it is."""
        return bool(read_for) and read_for == self.read_for

    def same_checks(self, other: AttentionPlane) -> bool:
        """Whether what is checked of another one is the same: the cursor may have moved within the call."""
        mine, its = ((one.head, one.batch, one.latent_kind, one.ran, one.view.query) for one in (self, other))
        return self.view.trace is other.view.trace and mine == its


@dataclass(frozen=True, eq=False, slots=True)
class Checks:
    """What was checked of a head: more work than its picture, so it comes after."""

    attention: AttentionPlane
    identity: Identity | None
    """Naive against absorbed scores, or softmax(scores)·V against the output; None before the kernel has run."""
    rope: RopeCheck | Untold | None = None
    """Unasked only where rows were permuted on loading."""


def read_attention(
    state: ScreenState,
    plane: Shown,
    known: Callable[[AttentionView, int], Reach | None] = lambda view, batch: None,
    scale: ScaleKind | None = None,
    before: AttentionPlane | None = None,
) -> AttentionPlane | None:
    """The wanted plane of the nearest call, or its probabilities where it has no such plane; None without a call.

    known: the reach of all heads of a call and a prompt, where somebody has gone through them. scale: that on view.
    before: what was read last, which is given again where the cursor has moved within the call.
    """
    view = nearest(state)
    if view is None:
        return None
    head, batch = min(state.head, view.heads - 1), min(state.batch, view.batch - 1)
    # The reach of a quick call is found whether it is known or not.
    reach_known = None if is_quick(view) else known(view, batch)
    read_for = (state.trace, view.query, state.frontier, head, batch, plane, scale, reach_known)
    if before is not None and before.serves(read_for):
        return before
    latent = latent_of(view)
    kind = plane if latent or plane in KINDS else "probs"
    cost = cache_cost(latent, state.trace.run.config) if latent else None
    reach = known(view, batch)
    try:
        if reach is None and is_quick(view):
            reach = reach_of(view, batch)
        picture = _picture(view, latent, kind, head, batch, state, reach, scale)
    except UnexplainedError as error:
        picture = nothing(f"{error}.", visible(view.site))
    return AttentionPlane(view, kind, head, batch, picture, latent, cost, reach, read_for)


def check_attention(attention: AttentionPlane) -> Checks:
    """What the plane on view asks for."""
    from tracetui.analysis.rope.pairs import check_rope, rows_permuted

    view, head, batch = attention.view, attention.head, attention.batch
    if attention.latent and attention.latent_kind:
        return Checks(attention, attention.latent.two_ways(head, batch))
    rope = check_rope(view, head, batch) if rows_permuted(view) else None
    return Checks(attention, head_identity(view, head, batch), rope)


def nearest(state: ScreenState) -> AttentionView | None:
    """The attention call at the cursor if all its inputs are recorded, else the last one before it."""
    if state.cursor < 0:
        return None
    at_cursor = attention_at(state.trace, state.record)
    if at_cursor and _whole(state, at_cursor):
        return at_cursor
    for index in range(state.cursor, -1, -1):
        record = state.trace.records[index]
        if record.role == "q" and (view := attention_at(state.trace, record)) and _whole(state, view):
            return view
    return None


def own_attention(state: ScreenState) -> str:
    """The class of an attention module that has run up to the cursor and showed no query; empty if there is none."""
    classes = {module.path.rpartition(".")[2]: module.kind for module in _attentions(state.outline)}
    for record in reversed(state.trace.records[: state.cursor + 1]):
        kind = classes.get(record.site.rpartition(".")[2])
        if kind and record.layer is not None and state.trace.find(f"{record.site}:q") is None:
            return kind
    return ""


def _attentions(module: Module) -> Iterator[Module]:
    for child in module.children:
        if "Attention" in child.kind:
            yield child
        else:
            yield from _attentions(child)


def _whole(state: ScreenState, view: AttentionView) -> bool:
    """Whether the kernel's last input is recorded: something else has come after them, or the run is over."""
    later = range(view.query.index + 1, state.frontier)
    return not state.under_way or any(state.trace.records[index].role not in _INPUTS for index in later)


def _picture(
    view: AttentionView,
    latent: LatentView | None,
    kind: Shown,
    head: int,
    batch: int,
    state: ScreenState,
    reach: Reach | None,
    scale: ScaleKind | None,
) -> HeatmapData:
    matrix, masked = _plane(view, latent, kind, head, batch)
    scales = attention_scales(kind, matrix, reach)
    kinds = tuple(scales) or _OWN_KINDS
    row, column = _AXES.get(kind, ("query", "key"))
    whose = f"all {view.heads} heads" if row == "key" else f"head {head} of 0–{view.heads - 1}"
    return heatmap_data(
        matrix,
        axis(row, matrix.shape[0], state, view.query.pass_),
        axis(column, matrix.shape[1], state, view.query.pass_),
        masked=masked,
        diverging=kind != "probs",
        kinds=kinds,
        scales=scales,
        shown=scale if scale in kinds else kinds[0],
        title=visible(view.site),
        told=" · ".join(part for part in (row_name(batch, view.batch), whose) if part),
    )


def _plane(
    view: AttentionView, latent: LatentView | None, kind: Shown, head: int, batch: int
) -> tuple[Matrix, Mask | None]:
    """The plane, and which of its cells the mask hides, where that matters."""
    match kind:
        case "kv_latent" | "k_rope" | "absorbed_scores" | "difference":
            assert latent
            return latent.matrix(kind, head, batch), None
        case "scores":
            return view.matrix(kind, head, batch), None
        case _:
            return view.plane(kind, head, batch)


def axis(name: str, length: int, state: ScreenState, pass_: int = 0) -> LabelledAxis:
    """An axis of positions with the tokens on it that a pass computed or looked at, or of a width without."""
    positions = axis_positions(name, length, state.trace, pass_)
    if positions is None:
        return LabelledAxis.of(name, length)
    return LabelledAxis.of(name, length, position_labels(state.tokens, positions), positions.start)
