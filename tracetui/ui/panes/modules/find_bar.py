"""The line above the module tree: its title, or what is searched for in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input, Static

from tracetui.debugger.state import ScreenState
from tracetui.ui.panes.modules.line import totals
from tracetui.ui.panes.modules.run_numbers import RunNumbers
from tracetui.ui.panes.pane import HAS_KEYS
from tracetui.ui.widgets.line_input import LineInput
from tracetui.ui.widgets.state_text import StateText

_LAYOUTS = {"meta": "Meta's names", "deepseek": "DeepSeek's names", "hf": "transformers' names"}


class FindInput(LineInput):
    """Enter goes to the next match, Esc ends the search."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "end the search", show=False, id="find_leave"),
        Binding("down", "go(1)", "the next module found", show=False, id="find_next"),
        Binding("up", "go(-1)", "the one before", show=False, id="find_before"),
    ]

    class Left(Message):
        """The search is over."""

    class Further(Message):
        """To another of the modules that were found."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    def action_leave(self) -> None:
        self.screen.set_focus(None)  # what is typed from now on isn't for this line
        self.post_message(self.Left())

    def action_go(self, by: int) -> None:
        self.post_message(self.Further(by))


class ModulesTitle(StateText):
    """`1 Modules   37.55B of 671B active`, whose names stand beside the tree's, or the names of its columns."""

    layout_shown: reactive[str] = reactive("")
    has_keys: reactive[bool] = reactive(False)

    def __init__(self, columns: Callable[[], str]) -> None:
        """columns: their names, right-aligned; empty where there are none."""
        super().__init__(id="modules-title")
        self._columns = columns

    def content(self) -> Content:
        title, room = f"{HAS_KEYS if self.has_keys else ' '}1 Modules ", self.size.width
        outline = self.state.outline
        right = totals(outline.parameters, outline.active, room - len(title) - 1)
        if self.layout_shown:
            right = f"→ {_LAYOUTS.get(self.layout_shown, self.layout_shown)}"
        style = "bold $accent" if self.has_keys else ""
        if columns := self._columns():
            right = columns
        return Content.assemble((title, style), right.rjust(room - len(title)))


class FindBar(Horizontal):
    """`1 Modules` with the totals, or `/ q_proj`."""

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)

    class FindAsked(Message):
        """Go to the next module that has `text` in its path."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Typed(Message):
        """Show the first module that has `text` in its path."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, numbers: RunNumbers) -> None:
        """numbers: the tree's, whose columns it names."""
        super().__init__(id="find-bar")
        self._columns = numbers.heading
        numbers.columns_changed = self.name_columns

    def compose(self) -> ComposeResult:
        yield ModulesTitle(self._columns).data_bind(FindBar.state)
        yield FindInput(placeholder="find a module", id="find", compact=True)
        yield Static(id="find-count", markup=False)

    def open(self) -> None:
        """Show the search line and put the cursor there."""
        self.add_class("-finding")
        find = self.query_one(FindInput)
        find.value = ""
        find.focus()

    def close(self) -> None:
        self.remove_class("-finding")

    def count(self, place: int, hits: int) -> None:
        """Say which of how many hits is on view, from 0; of none that there is none."""
        text = f"{place + 1} of {hits}" if hits else "no hit"
        self.query_one("#find-count", Static).update(text if self.query_one(FindInput).value else "")

    def give_keys(self, has_keys: bool) -> None:
        """Say whether the tree hears the keys."""
        self.query_one(ModulesTitle).has_keys = has_keys

    def name_columns(self) -> None:
        """The tree has other columns."""
        if self.is_mounted:
            self.query_one(ModulesTitle).look_again()

    def name_layout(self, layout: str) -> None:
        """Say whose names stand beside the tree's."""
        self.query_one(ModulesTitle).layout_shown = layout

    @on(Input.Changed)
    def _show(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Typed(event.value))

    @on(Input.Submitted)
    def _want(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.FindAsked(event.value))
