"""Pane 4: where every token went: load of all experts over the layers, and one block's choices in figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message

from tracetui.analysis.experts.block import sum_identity
from tracetui.analysis.experts.choice import expert_record
from tracetui.analysis.experts.routing import BlockRouting, Missing
from tracetui.analysis.identity import Identity
from tracetui.debugger.readings.experts import Experts, has_experts, read_experts
from tracetui.debugger.state import Phase, ScreenState
from tracetui.recording.record import Record
from tracetui.text import number
from tracetui.ui.messages import Jump, Said
from tracetui.ui.panes.explained import explain
from tracetui.ui.panes.pane import ReadingPane
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.canvas import Canvas
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.cells import Line, line
from tracetui.views.experts.lines import lines_wanted, routed_lines
from tracetui.views.experts.table import Routed
from tracetui.views.heatmap.matrix import nothing
from tracetui.views.inks import Inks

_LEAST_MAP = 4
_AROUND_CELLS = 4
"""Lines of the map that are no cells: title, axis, legend, caption."""


class LoadMap(Heatmap):
    """The load, layer by expert; Enter opens the expert under the crosshair."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "the record of the expert", show=False, id="open_expert")
    ]

    class ExpertOpened(Message):
        """The record of the expert under the crosshair is wanted."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Of an empty map Enter is the pane's."""
        return not (action == "open" and self.data.empty) and super().check_action(action, parameters)

    def action_open(self) -> None:
        self.post_message(self.ExpertOpened())


class RoutingTable(Canvas):
    """One block's choices, or in words why there are none."""

    def __init__(self) -> None:
        super().__init__(id="routing")
        self._routed: Routed | None = None
        self._trouble = ""

    def show(self, routed: Routed | None, trouble: str = "") -> None:
        self._routed, self._trouble = routed, trouble
        explain(self, "margin Gini load" if routed else "", "experts")
        self.repaint()

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        if self._routed is None:
            return [line([(f" {self._trouble}", inks.quiet)], width)]
        return routed_lines(self._routed, width, height, inks)


class ExpertsPane(ReadingPane[Experts], Vertical):
    """The block at the cursor, else the last one before it; the crosshair may look at another layer."""

    filled_by = "experts"

    def __init__(self) -> None:
        super().__init__("experts")
        self.add_class("-empty")
        self._shown = Experts()
        self._chosen: int | None = None
        self._expert: int | None = None
        self._map_lines: int | None = None
        """None: all there are."""
        self._checked: dict[Record, Identity | Missing] = {}
        """Of the trace on view: by the record of a block's choice."""

    def compose(self) -> ComposeResult:
        yield LoadMap(nothing(""), id="load")
        yield RoutingTable()

    def on_mount(self) -> None:
        self._show_nothing()

    def on_resize(self, event: events.Resize) -> None:
        self._share_room()

    def on_show(self) -> None:
        self._check()

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        if state.trace is not old.trace:
            self._checked = {}
            if state.under_way:
                self._expert = None
        if state.cursor != old.cursor or state.trace is not old.trace:
            self._chosen = None
        if not self.is_mounted:
            return
        if state.outline is not old.outline and self._shown.block is None:
            self._show_nothing()
        if _view_of(state) != _view_of(old) or state.trace is not old.trace:
            self.look()

    def looks_at(self, state: ScreenState) -> object:
        """How far the run has come meanwhile is told by the next answer."""
        return state.trace, state.cursor, state.token, state.batch, self._chosen

    def reading(self, state: ScreenState) -> Callable[[], Experts]:
        return partial(read_experts, state, self._shown, self._chosen)

    def show(self, experts: Experts) -> None:
        self._shown = experts
        self.set_class(experts.block is None, "-empty")
        self._share_room()
        if experts.block is None:
            self._show_nothing()
            return
        self.query_one(LoadMap).show(experts.picture)
        self._show_block()
        self._check()

    def _show_nothing(self) -> None:
        self.query_one(LoadMap).show(nothing(self._why_nothing()))

    def _why_nothing(self) -> str:
        state = self.state
        if not has_experts(state.outline, state.trace):
            return "No experts here: every token goes through the same weights." if state.outline.kind else ""
        later = self._shown.loads.after(state.cursor) if self._shown.trace is state.trace else None
        if later is not None:
            return f"No routing at or before this record.\nEnter goes to the next, in layer {later.record.layer}."
        if state.frontier and not state.under_way:
            return "This run recorded no routing: the model's experts could not be watched, or it ended before them."
        if state.phase is Phase.STOPPED:
            return "No routing yet.\nEnter runs on to the next layer whose router chooses experts."
        return "No routing yet. It is shown as soon as a layer's router has chosen its experts."

    def _share_room(self) -> None:
        """For the map what the table leaves, or a share of the pane; no more than its layers can use."""
        lines = self._wanted_lines() if self._shown.block else None
        if lines != self._map_lines:
            self._map_lines = lines
            self.query_one(LoadMap).styles.height = "1fr" if lines is None else lines

    def _wanted_lines(self) -> int:
        height, routed = self.size.height, self._shown.routed
        left = height - lines_wanted(routed.routing.active if routed else 0)
        most = self._shown.picture.rows.length + _AROUND_CELLS
        share = height // 2 if self.screen.has_class("-maximised") else height // 4
        return max(_LEAST_MAP, min(most, max(left, share)))

    def _show_block(self) -> None:
        experts = self._shown
        table = self.query_one(RoutingTable)
        if experts.routed is None:
            table.show(None, experts.trouble)
            return
        expert = experts.routed.expert if self._expert is None else self._expert
        table.show(replace(experts.routed, expert=expert, identity=self._identity(experts.routed.routing)))
        if experts.routed.routing.layer is not None:
            self.query_one(LoadMap).place(experts.routed.routing.layer - experts.first, expert)

    def _identity(self, routing: BlockRouting) -> Identity | Missing | None:
        return self._checked.get(routing.record) if self._shown.trace is self.state.trace else None

    def _check(self) -> None:
        """Compare the sum with the block's output, once for each block that has one and that somebody looks at."""
        routed = self._shown.routed
        if self.display and routed and not isinstance(self._identity(routed.routing), Identity):
            work = partial(sum_identity, self._shown.trace, routed.routing)
            show = partial(self._show_checked, routed.routing)
            read_in_background(self, "experts-sum", work, show)

    def _show_checked(self, routing: BlockRouting, identity: Identity | Missing) -> None:
        if self._shown.routed and self._shown.routed.routing is routing:
            self._checked[routing.record] = identity
            self._show_block()

    @on(Heatmap.CursorMoved)
    def _crosshair(self, message: Heatmap.CursorMoved) -> None:
        """The crosshair chooses the expert and the layer; a layer without experts keeps the one on view."""
        message.stop()
        self._expert = message.column
        block = self._shown.of_layer(self._shown.first + message.row)
        if block is None or block is self._shown.block:
            self._show_block()
            return
        self._chosen = block.record.index
        self.look()

    @on(LoadMap.ExpertOpened)
    def _open(self, message: LoadMap.ExpertOpened) -> None:
        message.stop()
        routed, expert = self._shown.routed, self.query_one(LoadMap).cursor[1]
        if routed is None:
            return
        record = expert_record(self._shown.trace, routed.routing, expert)
        if record is not None and record.index < self.state.frontier:
            self.post_message(Jump(record.index))
        else:
            self.post_message(Said(f"expert {expert} of {routed.routing.site} has no record"))

    def neighbour(self, by: int) -> int | None:
        """The record of the next block's choice among those recorded, or of the one before."""
        at = self.state.cursor if self._chosen is None else self._chosen
        block = self._shown.loads.neighbour(at, by) if self._shown.trace is self.state.trace else None
        return block.record.index if block else None

    def next_expert(self, by: int) -> str:
        """Go through the experts that the token chose, the largest weight first; the answer is where that leads."""
        routed = self._shown.routed
        if routed is None:
            return "there are no experts here"
        chosen = [choice.expert for choice in routed.choice.choices]
        here = routed.expert if self._expert is None else self._expert
        place = max(0, min(len(chosen) - 1, chosen.index(here) + by)) if here in chosen else 0
        self._expert = chosen[place]
        self._show_block()
        return f"expert {self._expert}: choice {place + 1} of {len(chosen)} of token {routed.choice.position}"

    def copied(self) -> str:
        """The expert under the crosshair in words, with what the token gave it."""
        routed = self._shown.routed
        if routed is None:
            return ""
        expert = self.query_one(LoadMap).cursor[1]
        place = f"{routed.routing.site} expert {expert}"
        choice_made = next((choice for choice in routed.choice.choices if choice.expert == expert), None)
        counts = routed.load.counts
        if choice_made is None:
            return f"{place} load {counts[expert] if expert < len(counts) else 0} of {counts.sum()} choices"
        numbers = {
            "weight": choice_made.weight,
            "score": choice_made.score,
            "bias": choice_made.bias,
            "selection": choice_made.selection,
            "margin": choice_made.margin,
            "norm in": choice_made.norm_in,
            "norm out": choice_made.norm_out,
        }
        numbers_text = " ".join(f"{name} {number(value)}" for name, value in numbers.items() if value is not None)
        return f"{place} token {routed.choice.position} {numbers_text}"


def _view_of(state: ScreenState) -> tuple[int, int, int, int, bool]:
    """What decides which block and token are on view, beside the trace."""
    return state.cursor, state.frontier, state.token, state.batch, state.under_way
