"""The home screen: what was open lately, what can be run at once, and a line for any other name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from tracetui.debugger.home.rows import HomeRow, HomeSection
from tracetui.text import visible
from tracetui.ui.home.list import HomeList
from tracetui.ui.messages import Trouble
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.action_line import ActionLine, Part
from tracetui.ui.widgets.line_input import LineInput
from tracetui.ui.widgets.too_small import SMALLEST, TooSmall

TOUR = HomeRow("Take the tour", "ten steps on a small model; each waits for its key", "3 minutes", ("tour",))
_TYPED = "Enter opens"
_ABOUT = "look inside the forward pass of a language model"
_PLACEHOLDER = "a path, a recipe or a hub id, typed or pasted"
_KEYS = (
    ("Enter", "open", "choose"),
    ("/", "type or find", "type"),
    ("?", "tour", "tour"),
    ("t", "theme", "theme"),
    ("q", "quit", "app.quit"),
)
_KEYS_TYPING = (("Enter", "open", "submit"), ("↑ ↓", "choose", ""), ("Esc", "back to the list", "leave"))


@dataclass(frozen=True, slots=True)
class HomeReaders:
    """What is read for the home screen, each in the background."""

    sections: Mapping[str, Callable[[], HomeSection]]
    """By title, in the order of the screen."""
    typed: Callable[[str], HomeRow]
    """What a typed line would open."""
    warm_up: Callable[[], object] = lambda: None
    """Done last: what whoever opens something would wait for."""


class HomeScreen(Screen[None]):
    """A command that is chosen is handed to `open_command`."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-roomy")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tight"), (20, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        # With priority: what is typed right behind it is for the line already.
        Binding("slash,o,colon", "type", "type a path, or find", show=False, priority=True, id="home_type"),
        Binding("question_mark", "tour", "take the tour", show=False, id="home_tour"),
        Binding("t", "theme", "choose a theme", show=False, id="theme"),
        Binding("q", "app.quit", "quit", show=False, id="quit"),
        Binding("escape", "leave", "back to the list", show=False, id="home_leave"),
    ]

    def __init__(
        self, readers: HomeReaders, open_command: Callable[[tuple[str, ...]], None], problem: str = ""
    ) -> None:
        """problem: why what was chosen last didn't open."""
        super().__init__()
        self._readers = readers
        self._open = open_command
        self._problem = problem
        self._sections = {title: HomeSection(title, reading=True) for title in readers.sections}
        self._typed: HomeRow | None = None
        self._submitted = False
        """Whether Enter was pressed in the line as it stands."""
        self._list = HomeList()
        self._keys = HomeKeys()
        self._input = LineInput(placeholder=_PLACEHOLDER, id="home-path", compact=True)

    def compose(self) -> ComposeResult:
        with Vertical(id="all"):
            yield Static(_title(), id="home-title")
            yield self._input
            yield self._list
            yield Static(Content.styled(visible(self._problem, 1000), "$error"), id="home-problem")
            yield self._keys
        yield TooSmall()

    def on_mount(self) -> None:
        self.set_focus(self._list)
        self.query_one("#home-problem").display = bool(self._problem)
        self._show()
        self._read_next(list(self._readers.sections.items()))

    def _read_next(self, left: list[tuple[str, Callable[[], HomeSection]]]) -> None:
        """One after another: what was open lately is there first."""
        if not left:
            read_in_background(self, "warm up", self._readers.warm_up, lambda _: None)
            return
        (title, read), *left = left
        read_in_background(self, f"home {title}", read, partial(self._have_read, title, left))

    def _have_read(self, title: str, left: list[tuple[str, Callable[[], HomeSection]]], section: HomeSection) -> None:
        self._sections[title] = section
        self._show()
        self._read_next(left)

    def _show(self) -> None:
        text = self._input.value.strip().casefold()
        sections = [
            HomeSection(
                section.title,
                tuple(row for row in section.rows if _fits(row, text)),
                section.aside,
                section.reading and not text,
            )
            for section in self._ordered()
        ]
        if text and not any(section.rows for section in sections):
            sections = [HomeSection(_TYPED, (self._typed,) if self._typed else (), reading=not self._typed)]
        self._list.show(sections)

    def _ordered(self) -> list[HomeSection]:
        """The tour comes first for whoever has opened nothing yet."""
        sections = list(self._sections.values())
        tour = HomeSection("New here?", (TOUR,))
        recent = sections[0] if sections else None
        return [*sections, tour] if recent and (recent.rows or recent.reading) else [tour, *sections]

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size
        self.set_class(width < SMALLEST[0] or height < SMALLEST[1], "-too-small")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._typed, self._submitted = None, False
        self._show()
        if event.value.strip():
            typed = event.value
            read_in_background(self, "typed", partial(self._readers.typed, typed), self._show_typed, self._now_typed)

    def _now_typed(self) -> object:
        return self._input.value

    def _show_typed(self, row: HomeRow) -> None:
        self._typed = row
        self._show()
        if self._submitted:
            self._list.action_choose()

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        # What the line would open may not have been read yet.
        self._submitted = True
        self._list.action_choose()

    @on(HomeList.Chosen)
    def _choose(self, message: HomeList.Chosen) -> None:
        if message.row.command:
            self._open(message.row.command)

    @on(Trouble)
    def _report(self, message: Trouble) -> None:
        message.stop()
        problem = self.query_one("#home-problem", Static)
        problem.update(Content.styled(visible(message.text, 1000), "$error"))
        problem.display = True

    def on_paste(self, event: events.Paste) -> None:
        """A paste is for the line, wherever the keys go."""
        if not self._input.has_focus:
            self.set_focus(self._input)
            self._input.value = event.text.splitlines()[0] if event.text.strip() else ""
            self._input.cursor_position = len(self._input.value)

    def on_key(self, event: events.Key) -> None:
        """The arrows choose while a line is typed."""
        by = {"up": -1, "down": 1}.get(event.key)
        if by is not None and self._input.has_focus:
            event.stop()
            self._list.action_move(by)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In the line its key is text."""
        return not (action == "type" and self._input.has_focus)

    def action_type(self) -> None:
        self.set_focus(self._input)

    def action_leave(self) -> None:
        """From the line to the list, which then holds everything again."""
        self._input.value = ""
        self.set_focus(self._list)

    def action_submit(self) -> None:
        self._list.action_choose()

    def action_choose(self) -> None:
        self._list.action_choose()

    def action_tour(self) -> None:
        self._open(TOUR.command)

    def action_theme(self) -> None:
        from tracetui.ui.dialogs.theme_picker import ThemeScreen

        self.app.push_screen(ThemeScreen())

    def on_descendant_focus(self) -> None:
        self._keys.show(_KEYS_TYPING if self._input.has_focus else _KEYS)

    def on_descendant_blur(self) -> None:
        self._list.refresh()


class HomeKeys(ActionLine):
    """The last line."""

    def __init__(self) -> None:
        super().__init__(id="home-keys")
        self._shown: tuple[tuple[str, str, str], ...] = _KEYS

    def show(self, keys: tuple[tuple[str, str, str], ...]) -> None:
        self._shown = keys
        self.refresh()

    def parts(self) -> list[Part]:
        return [
            (
                Content.assemble(
                    (key, "bold $footer-key-foreground"), (f" {label}   ", "$footer-description-foreground")
                ),
                action if "." in action or not action else f"screen.{action}",
            )
            for key, label, action in self._shown
        ]


def _title() -> Content:
    return Content.assemble(("tracetui", "bold $primary"), ("  ", ""), (_ABOUT, "$quiet"))


def _fits(row: HomeRow, text: str) -> bool:
    """Whether a row is one of those that somebody types about; a path is found by its whole name."""
    return not text or text in row.name.casefold() or text in " ".join(row.command[1:]).casefold()
