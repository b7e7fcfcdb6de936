"""What the debugger does about last time and next time: it starts as it was left, and notes what to leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from textual import on

from tracetui.debugger.attention_view import SHOWN
from tracetui.debugger.memory.note import MapLook, ScreenLayout, SessionNote
from tracetui.debugger.module_rows import layouts_of
from tracetui.debugger.session import Opened, Prepared, Started
from tracetui.debugger.start_page import StartPage
from tracetui.recipe import Prompts
from tracetui.ui.debugger_screen.hearing import HearingScreen
from tracetui.ui.messages import Said, SessionEvent
from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.panes.log.pane import LogPane
from tracetui.ui.panes.modules.find_bar import FindBar
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.modules.watch_list import WatchList
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.ui.widgets.prompt_bar import PromptInput
from tracetui.ui.widgets.tab_line import PANES
from tracetui.views.heatmap.pyramid import ScaleKind

NOTE_SECONDS = 1.0
"""How long what was set may be on the screen only."""


@dataclass(frozen=True, eq=False, slots=True)
class _KeptWidgets:
    """The widgets that hold what is kept: known by themselves, they can be asked while the screen is taken down."""

    tree: ModuleList
    watches: WatchList
    attention: AttentionPane
    maps: tuple[Heatmap, ...]
    prompt: PromptInput | None
    """None over a recording."""


class RememberingScreen(HearingScreen):
    """A screen whose settings outlive it, if somebody keeps them."""

    def __init__(self, offer: StartPage, keymap: Mapping[str, str]) -> None:
        super().__init__(offer, keymap)
        self._last = offer.recalled.note
        self._keeper = offer.recalled.keeper
        self._asked_for = self._last.more
        self._arranged = self._unfolded = False
        self._parts: _KeptWidgets | None = None

    def on_mount(self) -> None:
        recalled = self._offer.recalled
        tree, watches, attention = self.query_one(ModuleList), self.query_one(WatchList), self.query_one(AttentionPane)
        prompt = next(iter(self.query(PromptInput)), None)
        self._parts = _KeptWidgets(tree, watches, attention, tuple(self.query(Heatmap)), prompt)
        for watch in self._last.watches:
            watches.toggle(watch)
        _look_as_before(self._parts, self._last.layout)
        for remark in recalled.remarks:
            self.post_message(Said(remark))
        if recalled.told and self._offer.recording:
            # There is no first screen that could tell it.
            self.post_message(Said(recalled.told))
        elif recalled.told:
            self.query_one(LogPane).add(recalled.told)
        if self._keeper is not None:
            self.set_interval(NOTE_SECONDS, self._keep)

    @on(SessionEvent)
    def _arrange(self, message: SessionEvent) -> None:
        """The tree as it was left once there is one, and the panes once there is something in them to look at."""
        if isinstance(message.event, Prepared | Opened) and not self._unfolded:
            self.call_later(self._unfold_as_before)
        if isinstance(message.event, Started | Opened) and not self._arranged:
            self._arranged = True
            self._bring_to_front(self._last.layout)

    def _unfold_as_before(self) -> None:
        self._unfolded = True
        layout, tree = self._last.layout, self.query_one(ModuleList)
        if layout.opened is not None:
            tree.unfold(layout.opened)
        if layout.names in layouts_of(self.state.outline):
            tree.layout_shown = layout.names
            self.query_one(FindBar).name_layout(layout.names)

    def _bring_to_front(self, layout: ScreenLayout) -> None:
        """Unless the user has gone to another pane already."""
        if layout.front in {pane for pane, _, _ in PANES} and self.front == "tensor":
            self.front = layout.front
            if not self.typing:
                self.leave_prompt()
        if layout.maximised and not self.has_class("-maximised"):
            self.add_class("-maximised")
            self.set_class(layout.maximised == "tree", "-rail-maximised")

    def note_down(self) -> bool:
        """Have the keeper know what is set now; whether that has to be written. Nothing is written here."""
        if self._keeper is None or self._parts is None:
            return False
        return self._keeper.want(self._note_now(self._parts))

    def _keep(self) -> None:
        if self._keeper is not None and self.note_down():
            read_in_background(self, "remember", self._keeper.write, self._say_if_any)

    def close(self, timeout: float) -> bool:
        """Keep what was noted down last, and end the session; may take `timeout` seconds."""
        if self._keeper is not None:
            self._keeper.write()
        return super().close(timeout)

    def _note_now(self, parts: _KeptWidgets) -> SessionNote:
        state = self._driver.state
        return replace(
            self._last,
            stops=state.stops.stops,
            watches=parts.watches.watches,
            edits=tuple(replace(edit, on=True) for edit in state.edits),
            prompts=self._last.prompts if parts.prompt is None else self._prompts_now(parts.prompt),
            earlier=parts.prompt.earlier if parts.prompt is not None else (),
            more=self._asked_for,
            layout=self._layout_now(parts),
        )

    def _prompts_now(self, line: PromptInput) -> Prompts | None:
        """What Enter would run; of an emptied line, what was run last."""
        prompts = self._offer.prompts_for(line.value)
        if prompts.one_text and not prompts.text.strip():
            prompts = prompts.typed(line.earlier[-1]) if line.earlier else self._offer.prompts
        return None if prompts == self._offer.recalled.own else prompts

    def _layout_now(self, parts: _KeptWidgets) -> ScreenLayout:
        last, tree, kind = self._last.layout, parts.tree, parts.attention.kind
        maximised = "tree" if self.has_class("-rail-maximised") else "pane" if self.has_class("-maximised") else ""
        return ScreenLayout(
            front=self.front if self.front != "tensor" else "" if self._arranged else last.front,
            maximised=maximised if self._arranged else last.maximised,
            opened=tree.unfolded if self._unfolded else last.opened,
            names=tree.layout_shown if self._unfolded else last.names,
            scores="" if kind == "probs" else kind,
            maps=tuple(look for heatmap in parts.maps if (look := _look_of(heatmap)) != MapLook(look.map)),
        )


def _look_as_before(parts: _KeptWidgets, layout: ScreenLayout) -> None:
    known = {each.map: each for each in layout.maps}
    for heatmap in parts.maps:
        if (before := known.get(heatmap.id or "")) is not None:
            heatmap.choose(before.colours, before.diverging, before.scale)
    parts.attention.kind = next((kind for kind in SHOWN if kind == layout.scores), "probs")


def _look_of(heatmap: Heatmap) -> MapLook:
    scale = "" if heatmap.kind is ScaleKind.LINEAR else heatmap.kind
    return MapLook(heatmap.id or "", scale, *heatmap.chosen)
