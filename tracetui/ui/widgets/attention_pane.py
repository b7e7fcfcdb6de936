"""Pane 3: one head's attention, with tokens on both axes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static

from tracetui.analysis.attention import KINDS, AttentionView, Kind, attention_at, softmax
from tracetui.text import number, visible
from tracetui.ui.labels import position_labels, row_name
from tracetui.ui.messages import TokenChosen
from tracetui.ui.reader import look
from tracetui.ui.state import State
from tracetui.ui.widgets.action_line import ActionLine, Part
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap import HeatmapData, heatmap_data, nothing
from tracetui.views.heatmap_axes import Axis
from tracetui.views.pyramid import Kind as Scale

NAMES = {"scores": "before mask", "masked": "masked", "probs": "probabilities"}
ORIGIN = "attention"
_INPUTS = ("k", "v", "mask", "sinks", "kv_latent", "k_rope", "q_absorbed")


@dataclass(frozen=True, eq=False, slots=True)
class Attention:
    """One head of one attention call, ready to be drawn."""

    view: AttentionView
    kind: Kind
    head: int
    batch: int
    picture: HeatmapData


class AttentionPane(Vertical):
    """The call at the cursor, else the last one before it."""

    state: reactive[State] = reactive(State(), repaint=False)
    kind: reactive[Kind] = reactive[Kind]("probs")

    class Read(Message):
        def __init__(self, attention: Attention | None, state: State, kind: Kind) -> None:
            super().__init__()
            self.attention = attention
            self.state = state
            self.kind = kind

    def __init__(self) -> None:
        super().__init__(id="attention", classes="pane -empty")
        self._shown: Attention | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="attention-facts")
        yield KindLine(id="attention-kinds").data_bind(AttentionPane.kind)
        yield Heatmap(_NOTHING, id="heatmap")

    def watch_state(self, old: State, state: State) -> None:
        moved = state.cursor != old.cursor or state.trace is not old.trace or state.frontier != old.frontier
        if state.trace is not old.trace and state.under_way:
            self.query_one(Heatmap).place(0, 0)
        if state.token != old.token and state.token >= 0 and state.token_origin != ORIGIN:
            self._show_row(state.token)
        if self.is_mounted and (moved or state.head != old.head or state.batch != old.batch):
            look(self, "attention", partial(_read, state, self.kind))

    def watch_kind(self) -> None:
        if self.is_mounted:
            look(self, "attention", partial(_read, self.state, self.kind))

    @property
    def heads(self) -> int:
        """How many heads the call on view has."""
        return self._shown.view.heads if self._shown else 0

    def copied(self) -> str:
        """The cell under the crosshair in words."""
        if self._shown is None:
            return ""
        shown, (row, column) = self._shown, self.query_one(Heatmap).cursor
        of = f" {name}" if (name := row_name(shown.batch, shown.view.batch)) else ""
        place = f"{shown.view.site} {NAMES[shown.kind]}{of} head {shown.head} query {row} key {column}"
        return f"{place}: {number(shown.picture.value(row, column))}"

    def next_kind(self) -> None:
        self.kind = KINDS[(KINDS.index(self.kind) + 1) % len(KINDS)]

    @on(Heatmap.CursorMoved)
    def _choose_token(self, message: Heatmap.CursorMoved) -> None:
        """A crosshair moved onto a query takes the token cursor along."""
        message.stop()
        heatmap, row = message.heatmap, message.row
        real = row < len(self.state.tokens) and heatmap.data.rows.length == self.state.longest
        if real and row == heatmap.cursor[0] != self.state.token:
            self.post_message(TokenChosen(row, ORIGIN))

    def _show_row(self, row: int) -> None:
        heatmap = self.query_one(Heatmap)
        if heatmap.data.rows.length == self.state.longest:
            heatmap.place(row, heatmap.cursor[1])

    @on(Read)
    def _show(self, message: Read) -> None:
        seen, now = message.state, self.state
        same = seen.trace is now.trace and (seen.cursor, seen.head, seen.batch) == (now.cursor, now.head, now.batch)
        if not same or message.kind != self.kind:
            return
        self._shown = message.attention
        self.set_class(message.attention is None, "-empty")
        facts = self.query_one("#attention-facts", Static)
        facts.update(_facts(message.attention) if message.attention else "", layout=False)
        self.query_one(Heatmap).show(message.attention.picture if message.attention else _NOTHING)


class KindLine(ActionLine):
    """Before the mask, masked, probabilities: the one on view marked."""

    kind: reactive[Kind] = reactive[Kind]("probs")

    def parts(self) -> list[Part]:
        chosen = "bold $cursor-text on $cursor"
        return [
            (Content.styled(f" {NAMES[kind]} ", chosen if kind == self.kind else "$quiet"), f"screen.scores('{kind}')")
            for kind in KINDS
        ]


_NOTHING = nothing("No attention at or before this record. It is shown as soon as a layer has computed it.")


def _read(state: State, kind: Kind) -> AttentionPane.Read:
    view = nearest(state)
    if view is None:
        return AttentionPane.Read(None, state, kind)
    head, batch = min(state.head, view.heads - 1), min(state.batch, view.batch - 1)
    masked = view.matrix("masked", head, batch)  # [T,S]
    matrix = {"masked": masked, "probs": softmax(masked)}.get(kind)
    heads = f"head {head} of 0–{view.heads - 1}"
    picture = heatmap_data(
        view.matrix("scores", head, batch) if matrix is None else matrix,
        Axis.of("query", masked.shape[0], _labels(state, masked.shape[0])),
        Axis.of("key", masked.shape[1], _labels(state, masked.shape[1])),
        masked=None if kind == "scores" else np.isneginf(masked),
        diverging=kind != "probs",
        kinds=(Scale.LINEAR, Scale.LOG),
        title=" · ".join(part for part in (visible(view.site), row_name(batch, view.batch), heads) if part),
    )
    return AttentionPane.Read(Attention(view, kind, head, batch, picture), state, kind)


def nearest(state: State) -> AttentionView | None:
    """The attention call at the cursor, else the last one before it, of which all inputs are recorded."""
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


def _whole(state: State, view: AttentionView) -> bool:
    """Whether the kernel's last input is recorded: something else has come after them, or the run is over."""
    later = range(view.query.index + 1, state.frontier)
    return not state.under_way or any(state.trace.records[index].role not in _INPUTS for index in later)


def _labels(state: State, length: int) -> tuple[str, ...]:
    return position_labels(state.tokens, length) if length == state.longest else ()


def _facts(attention: Attention) -> Content:
    """The key-value head that is shared, and the kernel's parameters."""
    view, call, head = attention.view, attention.view.call, attention.head
    shared, kv_head = view.heads // max(1, view.kv_heads), view.kv_head(head)
    told = []
    if shared > 1:
        first = kv_head * shared
        told.append(f"kv head {kv_head} (heads {first}–{first + shared - 1})")
    told.append("mask" if view.mask else ("causal" if call.is_causal else "no mask"))
    if call.softcap:
        told.append(f"softcap {number(call.softcap)}")
    if call.sliding_window:
        told.append(f"window {call.sliding_window}")
    told += [call.kernel, f"scale {number(call.scale)}"]
    return Content.styled(f" {' · '.join(told)}", "$quiet")
