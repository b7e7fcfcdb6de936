"""What was measured of every head of a pass, each once, while nobody waits for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tracetui.analysis.attention.heads import UnexplainedError
from tracetui.analysis.attention.measures import MEASURES, HeadMeasures, measure
from tracetui.analysis.attention.scores import AttentionView, Matrix, attention_at
from tracetui.debugger.state import ScreenState
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError
from tracetui.text import visible
from tracetui.views.heatmap.attention_scales import probability_scales
from tracetui.views.heatmap.axes import LabelledAxis
from tracetui.views.heatmap.matrix import HeatmapData, heatmap_data, nothing
from tracetui.views.heatmap.pyramid import Codes, build
from tracetui.views.heatmap.scale import Scale, ScaleKind

THUMB = 64
"""Rows and columns of a head's small picture at most."""
SHARES = next(iter(probability_scales().values()))


@dataclass(frozen=True, slots=True)
class MeasuredHead:
    """A head, and its small picture."""

    measures: HeadMeasures
    thumb: Codes
    """The codes of its probabilities, pooled."""


@dataclass(eq=False, slots=True)
class CallHeads:
    """The heads of one attention call and one prompt: filled by one thread, read by another."""

    view: AttentionView
    batch: int
    heads: list[MeasuredHead | None] = field(default_factory=list)
    """As far as they were measured; None for one whose attention can't be shown."""

    @property
    def done(self) -> bool:
        return len(self.heads) == self.view.heads

    def head(self, index: int) -> MeasuredHead | None:
        return self.heads[index] if index < len(self.heads) else None

    def number(self, index: int, name: str) -> float:
        """A measure of a head; NaN where it isn't known."""
        head = self.head(index)
        return float("nan") if head is None else float(getattr(head.measures, name))


class HeadBook:
    """The calls of one trace, by record and prompt."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._calls: dict[tuple[int, int], CallHeads] = {}

    def of(self, view: AttentionView, batch: int) -> CallHeads:
        return self._calls.setdefault((view.query.index, batch), CallHeads(view, batch))


def calls_of_pass(state: ScreenState, book: HeadBook) -> list[CallHeads]:
    """The attention calls of the pass at the cursor whose output is recorded, in order of execution."""
    pass_, found = state.record.pass_, []
    for record in state.trace.records[: state.frontier]:
        if record.role != "q" or record.pass_ != pass_ or (view := attention_at(state.trace, record)) is None:
            continue
        output = view.beside("heads")
        if (output is not None and output.index < state.frontier) or not state.under_way:
            found.append(book.of(view, min(state.batch, view.batch - 1)))
    return found


def measure_heads(calls: Sequence[CallHeads], is_cancelled: Callable[[], bool], tell: Callable[[], None]) -> None:
    """Measure what wasn't measured yet; `tell` is called after each head."""
    for call in calls:
        while not call.done:
            if is_cancelled():
                return
            call.heads.append(_measured(call, len(call.heads)))
            tell()


def _measured(call: CallHeads, head: int) -> MeasuredHead | None:
    try:
        measures, shares = measure(call.view, head, call.batch)
    except (UnexplainedError, NotKeptError):
        return None
    levels = build(_with_passes_before(call, head, shares), scale=SHARES).levels
    return MeasuredHead(measures, next(level for level in levels if max(level.shape) <= THUMB))


def _with_passes_before(call: CallHeads, head: int, shares: Matrix) -> Matrix:
    """The rows of a generated pass [T,S] below those of the passes before it: one row alone shows little."""
    view, rows = call.view, [shares]
    for pass_ in range(view.query.pass_ - 1, max(0, view.query.pass_ - THUMB), -1):
        query = view.trace.find(f"{view.site}:q@{pass_}")
        before = query and attention_at(view.trace, query)
        if not before or before.heads != view.heads or before.key.shape[2] > shares.shape[1]:
            break
        earlier, hidden = before.plane("probs", head, call.batch)
        rows.append(np.full((len(earlier), shares.shape[1]), -np.inf, np.float32))
        rows[-1][:, : earlier.shape[1]] = np.where(hidden, np.float32(-np.inf), earlier)
    return np.concatenate(rows[::-1])


def head_map(calls: Sequence[CallHeads], name: str) -> HeatmapData:
    """Layers by heads: one measure of each; cells that aren't known (yet) take no part."""
    if not calls:
        return nothing("No attention yet. Each layer is shown as soon as it has computed it.")
    width = max(call.view.heads for call in calls)
    values = np.array([[call.number(head, name) for head in range(width)] for call in calls], np.float32)  # [L,H]
    known = values[np.isfinite(values)]
    most = MEASURES[name].most or float(known.max(initial=0.0)) or 1.0
    scales = {
        ScaleKind.LINEAR: Scale(ScaleKind.LINEAR, 0.0, most, spans="all layers"),
        ScaleKind.ROOT: Scale(ScaleKind.ROOT, 0.0, most, spans="all layers"),
        ScaleKind.ROWS: Scale(ScaleKind.ROWS, 0.0, 1.0),
    }
    axes = _layers(calls), LabelledAxis.of("head", width)
    measured = sum(len(call.heads) for call in calls)
    told = f"{measured:,} of {width * len(calls):,} heads" if any(not call.done for call in calls) else ""
    title = f"heads by {MEASURES[name].words} (f: another)"
    return heatmap_data(
        values, *axes, masked=np.isnan(values), kinds=tuple(scales), scales=scales, title=title, told=told
    )


def _layers(calls: Sequence[CallHeads]) -> LabelledAxis:
    """By number where each layer has one call, else by where it is."""
    layers = [call.view.query.layer for call in calls]
    first = layers[0] or 0
    if layers == list(range(first, first + len(layers))):
        return LabelledAxis.of("layer", len(layers), first=first)
    names = [
        visible(call.view.site) if layer is None else str(layer) for call, layer in zip(calls, layers, strict=True)
    ]
    return LabelledAxis.of("layer", len(names), names)


def ordered(call: CallHeads, name: str) -> list[int]:
    """The heads by number, or by a measure, the largest first; those without a number come last."""
    heads = range(call.view.heads)
    if not name:
        return list(heads)
    numbers = [call.number(head, name) for head in heads]
    return sorted(heads, key=lambda head: (np.isnan(numbers[head]), -numbers[head], head))
