"""What pane 4 shows, read off the screen's thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tracetui.analysis.experts.block import Shared, has_shared, shared_parts
from tracetui.analysis.experts.choice import token_choice
from tracetui.analysis.experts.fields import EXPERT_COUNTS
from tracetui.analysis.experts.load import NO_LOADS, LayerLoad, Loads, extended, load_matrix
from tracetui.analysis.experts.routing import BlockRouting, Missing, read_routing
from tracetui.debugger.session import Module
from tracetui.debugger.state import ScreenState
from tracetui.errors import RunError
from tracetui.recording.trace import Trace
from tracetui.views.charts.bars import percent
from tracetui.views.experts.load_scale import load_scale
from tracetui.views.experts.table import Routed
from tracetui.views.heatmap.axes import LabelledAxis
from tracetui.views.heatmap.matrix import EMPTY, HeatmapData, heatmap_data
from tracetui.views.heatmap.scale import ScaleKind
from tracetui.views.tokens import token_label


@dataclass(frozen=True, eq=False, slots=True)
class Experts:
    """The loads of a pass, and one block of it with one of its tokens."""

    loads: Loads = NO_LOADS
    blocks: tuple[LayerLoad, ...] = ()
    """Of the pass, by layer."""
    picture: HeatmapData = EMPTY
    first: int = 0
    """The layer of the picture's first row."""
    block: LayerLoad | None = None
    """The one whose tokens are shown."""
    routed: Routed | None = None
    """None where its choices can't be read; `trouble` says why."""
    trouble: str = ""

    @property
    def trace(self) -> Trace:
        return self.loads.trace

    def of_layer(self, layer: int) -> LayerLoad | None:
        return next((block for block in self.blocks if block.record.layer == layer), None)


def has_experts(outline: Module, trace: Trace) -> bool:
    """Whether the model has experts, by its tree or by its configuration."""
    return any(trace.run.config.get(name) for name in EXPERT_COUNTS) or _named(outline)


def _named(module: Module) -> bool:
    return module.path.rpartition(".")[2] == "experts" or any(_named(child) for child in module.children)


def read_experts(state: ScreenState, before: Experts, chosen: int | None) -> Experts:
    """What there is to see of the first `frontier` records; `chosen` is the record of the block asked for."""
    loads = extended(before.loads, state.trace, state.frontier)
    at = loads.at(state.cursor if chosen is None else chosen)
    if at is None:
        return Experts(loads)
    blocks = tuple(loads.of_pass(at.record.pass_))
    if blocks == before.blocks:
        first, picture = before.first, before.picture
    else:
        first, picture = _picture(blocks, at.record.pass_)
    routed, trouble = _routed(state, at)
    return Experts(loads, blocks, picture, first, at, routed, trouble)


def _picture(blocks: tuple[LayerLoad, ...], pass_: int) -> tuple[int, HeatmapData]:
    first, shares = load_matrix(list(blocks))  # [L,E]
    rows, columns = shares.shape
    title = "load: share of a block's choices" + (f", pass {pass_}" if pass_ else "")
    axes = LabelledAxis.of("layer", rows, first=first), LabelledAxis.of("expert", columns)
    kinds = (ScaleKind.LINEAR, ScaleKind.LOG, ScaleKind.ROWS)
    scales = {ScaleKind.LINEAR: load_scale(shares)}
    picture = heatmap_data(shares, *axes, masked=np.isnan(shares), kinds=kinds, title=title, scales=scales)
    return first, replace(picture, named=partial(_choices, {block.record.layer: block for block in blocks}, first))


def _choices(blocks: Mapping[int | None, LayerLoad], first: int, row: int, expert: int) -> str:
    """`4 of 48 choices (8.3%)`: what a cell of the map stands for."""
    block = blocks.get(first + row)
    if block is None or block.load is None or expert >= len(block.load.counts):
        return "no experts"
    total = int(block.load.counts.sum())
    return f"{block.load.counts[expert]} of {total} choices ({percent(block.load.shares[expert])})"


def _routed(state: ScreenState, block: LayerLoad) -> tuple[Routed | None, str]:
    try:
        routing = read_routing(state.trace, block.record)
    except RunError as error:
        return None, str(error)
    if not len(routing) or block.load is None:
        return None, f"{block.record.key}: no token was routed"
    token = _token(state, routing)
    choice = token_choice(state.trace, routing, token)
    part = _shared(state.trace, routing, token)
    return Routed(routing, block.load, choice, part, None, _texts(state.trace, routing), choice.choices[0].expert), ""


def _shared(trace: Trace, routing: BlockRouting, token: int) -> Shared | Missing | None:
    if not has_shared(trace, routing):
        return None
    parts = shared_parts(trace, routing, [token])
    return parts if isinstance(parts, Missing) else parts[0]


def _token(state: ScreenState, routing: BlockRouting) -> int:
    """The token looked at, else the last one of the prompt looked at: it decides what comes next."""
    token = routing.token(state.batch, state.token) if state.token >= 0 else None
    if token is not None:
        return token
    mine = np.flatnonzero(routing.prompts == state.batch)
    return int(mine[-1]) if len(mine) else len(routing) - 1


def _texts(trace: Trace, routing: BlockRouting) -> tuple[str, ...]:
    """Of the tokens that were routed; none of a later pass of which the trace doesn't tell the tokens."""
    if routing.record.pass_ and not trace.generated:
        return ()
    rows = [[token_label(token, 40) for token in row] for row in trace.tokens]
    places = zip(routing.prompts.tolist(), routing.positions.tolist(), strict=True)
    texts = [rows[p][t] if p < len(rows) and t < len(rows[p]) else "" for p, t in places]
    return tuple(texts) if any(texts) else ()
