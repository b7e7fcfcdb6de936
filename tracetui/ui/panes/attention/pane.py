"""Pane 3: one head's attention, with tokens on both axes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.reactive import reactive
from textual.widgets import Static

from tracetui.analysis.attention.kinds import KINDS
from tracetui.analysis.attention.reach import Reach, is_quick
from tracetui.analysis.attention.scores import AttentionView
from tracetui.analysis.identity import Identity
from tracetui.debugger.readings.attention import AttentionPlane, Checks, Shown, check_attention
from tracetui.debugger.state import ScreenState
from tracetui.recording.trace import Trace
from tracetui.ui.messages import HeadPicked, TokenChosen
from tracetui.ui.panes.attention import ahead
from tracetui.ui.panes.attention.absence import NONE
from tracetui.ui.panes.attention.head_wall import HeadMap, HeadWall
from tracetui.ui.panes.attention.kind_line import KindLine
from tracetui.ui.panes.attention.lines import SHORT, cell_words, facts
from tracetui.ui.panes.attention.measured_heads import HeadsView, MeasuredHeads
from tracetui.ui.panes.attention.plane_map import PlaneMap
from tracetui.ui.panes.attention.reading import check_all, read_plane, read_reach
from tracetui.ui.panes.explained import explain
from tracetui.ui.panes.kept import Kept
from tracetui.ui.panes.pane import ReadingPane
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap.matrix import nothing

_VIEWS: tuple[HeadsView, ...] = ("head", "wall", "layers")
_MAPS: Mapping[HeadsView, str] = {"head": "#heatmap", "wall": "#head-wall", "layers": "#head-map"}
ORIGIN = "attention"


class AttentionPane(ReadingPane["AttentionPlane | str"], Vertical):
    """The call at the cursor, else the last one before it."""

    reads_ahead = True
    filled_by = "q"
    kind: reactive[Shown] = reactive[Shown]("probs")
    """The one asked for; a call that lacks it shows probabilities."""
    view: reactive[HeadsView] = reactive[HeadsView]("head")
    """One head, all heads of the layer, or those of all layers."""

    def __init__(self) -> None:
        super().__init__("attention")
        self.add_class("-empty")
        self._shown: AttentionPlane | None = None
        self._checks: Checks | None = None
        self._all_heads: tuple[Trace, int, Identity | None] | None = None
        self._lines = -1
        self._told_in = (0, False)
        """The cells across that the facts were laid for."""
        self._heads = MeasuredHeads(self)
        self._reach: tuple[Trace, int, int, Reach] | None = None
        """Of the call and prompt that were gone through last."""
        self._kept: Kept[ahead.ReadyPlane] = Kept(ahead.MOST_KEPT)
        self._shown_for: Hashable = None
        """What the plane on view is kept by; None where something else was looked at when it came."""

    def compose(self) -> ComposeResult:
        yield KindLine(id="attention-kinds")
        yield Static(id="attention-facts")
        yield PlaneMap(nothing(NONE), id="heatmap")
        yield HeadWall()
        yield HeadMap()

    def on_resize(self) -> None:
        if self._shown and self._room() != self._told_in:
            self._show_facts(self._shown)

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        if state.trace is not old.trace and state.under_way:
            self.query_one("#heatmap", Heatmap).place(0, 0)
        if state.token != old.token and state.token >= 0 and state.token_origin != ORIGIN:
            self._show_row(state.token)
        super().watch_state(old, state)

    def next_view(self) -> None:
        """One head, then all heads of the layer, then those of all layers."""
        self.view = _VIEWS[(_VIEWS.index(self.view) + 1) % len(_VIEWS)]

    def watch_view(self, old: HeadsView, view: HeadsView) -> None:
        if not self.is_mounted:
            return
        for each in _VIEWS:
            self.set_class(each == view, f"-{each}")
        if self.screen.focused in (focusable := [self.query_one(name) for name in _MAPS.values()]):
            self.screen.set_focus(focusable[_VIEWS.index(view)])
        self._heads.measure()

    def key_escape(self, event: events.Key) -> None:
        """Back to one head."""
        if self.view != "head":
            event.stop()
            self.view = "head"

    @on(HeadMap.MeasureChanged)
    def _colour_otherwise(self) -> None:
        self._heads.measure()

    @on(HeadPicked)
    def _open_head(self, message: HeadPicked) -> None:
        """The screen hears it too: the head is that of every pane."""
        if message.opens:
            self.view = "head"

    @on(HeadMap.HeadOpened)
    def _open_from_map(self, message: HeadMap.HeadOpened) -> None:
        message.stop()
        self.view = "head"

    @on(Heatmap.CursorMoved, "#head-map")
    def _follow_map(self, message: Heatmap.CursorMoved) -> None:
        message.stop()
        record = self._heads.record_at(message.row)
        if record is not None:
            self.post_message(HeadPicked(message.column, record))

    def watch_kind(self) -> None:
        if self.is_mounted:
            self.look()

    def looks_at(self, state: ScreenState) -> object:
        return state.trace, state.cursor, state.head, state.batch, self.kind

    def reading(self, state: ScreenState) -> Callable[[], AttentionPlane | str]:
        scale = self.query_one("#heatmap", Heatmap).kind
        return partial(read_plane, state, self.kind, self._known_reach, scale, self._shown)

    def read(self) -> None:
        """A plane that is ready needs no thread."""
        ready = self._kept.of(self.state.trace, self._key(self.state))
        if ready is None:
            super().read()
            return
        self._checks = ready.checks
        if ready.all_heads is not None:
            self._all_heads = ready.plane.view.trace, ready.plane.view.query.index, *ready.all_heads
        self.show(ready.plane)

    def _key(self, state: ScreenState) -> Hashable:
        return ahead.ready_key(state, self.kind, self.query_one("#heatmap", Heatmap).kind)

    def read_ahead(self, indices: Sequence[int]) -> None:
        """The calls that the next key probably leads to."""
        state = self.state
        states = [replace(state, cursor=index) for index in (state.cursor, *indices)]
        new = [each for each in states if self._kept.of(each.trace, self._key(each)) is None]
        scale = self.query_one("#heatmap", Heatmap).kind
        if new:
            work = partial(ahead.read_around, new, self.kind, self._known_reach, scale, self._shown)
            read_in_background(self, "attention, ahead", work, self.keep)

    def draw_ahead(self, state: ScreenState) -> None:
        """The plane of another state, if it is ready."""
        if self.display and self.view == "head" and (ready := self._kept.of(state.trace, self._key(state))):
            self.query_one("#heatmap", PlaneMap).draw_ahead(ready.plane.picture)

    def keep(self, values: Sequence[ahead.ReadyPlane]) -> None:
        for ready in values:
            self._kept.add(ready.plane.view.trace, ready.key, ready)

    def _known_reach(self, view: AttentionView, batch: int) -> Reach | None:
        known = self._reach
        same = known and known[0] is view.trace and known[1:3] == (view.query.index, batch)
        return known[3] if known and same else None

    @property
    def call(self) -> AttentionView | None:
        """The call on view."""
        return self._shown.view if self._shown else None

    @property
    def heads(self) -> int:
        """How many heads the call on view has."""
        return self._shown.view.heads if self._shown else 0

    def copied(self) -> str:
        """The cell under the crosshair in words."""
        if self._shown is None or not self._shown.picture.values.size:
            return ""
        return cell_words(self._shown, self.query_one("#heatmap", Heatmap).cursor)

    def next_kind(self) -> None:
        kinds = self._shown.kinds if self._shown else KINDS
        kind = self._shown.kind if self._shown else self.kind
        self.kind = kinds[(kinds.index(kind) + 1) % len(kinds)]

    def check_heads(self) -> bool:
        """Hold every head of the call on view against its recorded output; False if there is no call."""
        if self._shown is None:
            return False
        view = self._shown.view
        soon = self.display and is_quick(view)
        read_in_background(self, "identity", partial(check_all, view), partial(self._note_all, view), holds_paint=soon)
        return True

    @on(Heatmap.CursorMoved, "#heatmap")
    def _choose_token(self, message: Heatmap.CursorMoved) -> None:
        """A crosshair moved onto a query takes the token cursor along."""
        message.stop()
        heatmap, row = message.heatmap, message.row
        position = row + heatmap.data.rows.first
        real = position < len(self.state.tokens) and _of_queries(heatmap)
        if real and row == heatmap.cursor[0] and position != self.state.token:
            self.post_message(TokenChosen(position, ORIGIN))

    def _show_row(self, position: int) -> None:
        heatmap = self.query_one("#heatmap", Heatmap)
        row = position - heatmap.data.rows.first
        if _of_queries(heatmap) and 0 <= row < heatmap.data.rows.length:
            heatmap.place(row, heatmap.cursor[1])

    def show(self, attention: AttentionPlane | str) -> None:
        """The plane, or in words why there is none."""
        self._shown_for = ahead.asked_for(attention, self.state, self.kind, self.query_one("#heatmap", Heatmap).kind)
        if self._shown is not None and not isinstance(attention, str) and self._shown.serves(attention.read_for):
            heads = self._heads_checked(self._shown.view)
            self.keep(ahead.ready_whole(self._shown_for, self._shown, self._checks, heads))
            self._heads.follow()
            return
        self._shown = None if isinstance(attention, str) else attention
        self.set_class(self._shown is None, "-empty")
        if isinstance(attention, str):
            self.query_one("#heatmap", Heatmap).show(nothing(attention))
            return
        self.query_one(KindLine).offer(attention.kinds, attention.kind)
        self.query_one("#heatmap", Heatmap).show(attention.picture)
        if self._checks and not attention.same_checks(self._checks.attention):
            self._checks = None
        self._show_facts(attention)
        self._heads.follow()
        if self._checks is None:
            soon = self.display and is_quick(attention.view)
            read_in_background(self, "checks", partial(check_attention, attention), self._note, holds_paint=soon)
        view, batch = attention.view, attention.batch
        if attention.reach:
            self._reach = view.trace, view.query.index, batch, attention.reach
        elif attention.kind != "probs":
            read_in_background(self, "reach", partial(read_reach, view, batch), partial(self._note_reach, view, batch))
        if ahead.checks_all(attention) and self._heads_checked(view) is None:
            self.check_heads()

    def _note(self, checks: Checks) -> None:
        """The head on view was checked."""
        if self._shown and self._shown.same_checks(checks.attention):
            self._checks = checks
            self._learn(self._shown)

    def _note_reach(self, view: AttentionView, batch: int, reach: Reach | None) -> None:
        """All heads were gone through: the one on view gets their scale."""
        if reach is not None:
            self._reach = view.trace, view.query.index, batch, reach
            self.look()

    def _note_all(self, view: AttentionView, identity: Identity | None) -> None:
        """Every head of a call was held against its recorded output."""
        self._all_heads = (view.trace, view.query.index, identity)
        if self._shown:
            self._learn(self._shown)

    def _learn(self, shown: AttentionPlane) -> None:
        """More is known of what is on view; once that is all, it needn't be read again."""
        self._show_facts(shown)
        self.keep(ahead.ready_whole(self._shown_for, shown, self._checks, self._heads_checked(shown.view)))

    def _heads_checked(self, view: AttentionView) -> tuple[Identity | None] | None:
        """What holding all heads of a call against its output gave; None where nobody did."""
        known = self._all_heads
        return known[2:] if known is not None and known[:2] == (view.trace, view.query.index) else None

    def _room(self) -> tuple[int, bool]:
        return self.query_one(KindLine).size.width or self.size.width, self.app.size.height < SHORT

    def _show_facts(self, attention: AttentionPlane) -> None:
        (known,) = self._heads_checked(attention.view) or (None,)
        self._told_in = self._room()
        content = facts(attention, self._checks, known, *self._told_in)
        lines = content.plain.count("\n")
        above = self.query_one("#attention-facts", Static)
        above.update(content, layout=lines != self._lines)
        explain(above, content.plain, "attention")
        self._lines = lines


def _of_queries(heatmap: Heatmap) -> bool:
    """Whether its rows are positions of the prompt, or of what was generated."""
    return bool(heatmap.data.rows.labels)
