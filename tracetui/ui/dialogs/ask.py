"""One line to type, checked and completed while it is typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tracetui.errors import InputError
from tracetui.expr.completion import Completion
from tracetui.expr.errors import BadExpressionError
from tracetui.text import visible
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import LEAVE, DialogKeys
from tracetui.ui.dialogs.forms import FormsScreen, FormTable
from tracetui.ui.foreign import safe, safe_text
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.line_input import LineInput
from tracetui.ui.widgets.options import Options

Check = Callable[[str], object]
"""Raises InputError for a line that can't be taken."""
_REST = 0.12
"""Seconds without a key after which records are counted."""
_OFFERED, _ROOMY = 7, 24
"""Lines of completions, and of a screen from which on there is room for them."""
_FORM = 26
"""Columns of a completion before its meaning."""


@dataclass(frozen=True, eq=False, slots=True)
class Question:
    """What is asked for, and what helps to answer."""

    title: str
    hint: str
    check: Check
    typed: str = ""
    """What stands in the line at first, selected, so that typing replaces it."""
    titled: Callable[[str], str] | None = None
    """Makes the title anew of each line that passes."""
    meant: Callable[[str], str] = str
    """The whole line that what is typed stands for, longer only at its beginning."""
    complete: Callable[[str], Sequence[Completion]] | None = None
    """How a line can go on."""
    count: Callable[[str], Callable[[], str]] | None = None
    """Of a line that passes, the work that says which records it is about; done in the background."""
    forms: Sequence[FormTable] = ()
    """What may be typed, told by F1."""


class AskScreen(Dialog[str | None]):
    """The answer is the line once it passes its check, or None; below the line stands what is wrong and where."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False, id="leave"),
        Binding("tab", "take", "take what is offered", show=False, id="ask_take"),
        Binding("down", "move(1)", "the next that is offered", show=False, id="ask_down"),
        Binding("up", "move(-1)", "the one before", show=False, id="ask_up"),
        Binding("f1", "help", "what can be typed", show=False, id="ask_help"),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question
        self._offered: tuple[Completion, ...] = ()
        self._line = question.typed
        self._rest: Timer | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="ask"):
            yield Static(safe(self._question.title), classes="dialog-title")
            yield LineInput(self._question.typed, compact=True, select_on_focus=True)
            yield Static(id="ask-caret", markup=False)
            yield Static(id="ask-told", markup=False)
            options = Options(id="ask-offered")
            options.can_focus = False
            yield options
            yield Static(id="ask-count", markup=False)
            yield DialogKeys(*self._keys())

    def on_mount(self) -> None:
        self._tell(self._question.typed)
        self._offer(self._question.typed if not self._question.typed.strip() else None)

    def _keys(self) -> list[tuple[str, str, str]]:
        keys = [("Enter", "takes it", "submit"), LEAVE]
        if self._question.complete is not None:
            keys.append(("Tab", "completes", "take"))
        if self._question.forms:
            keys.append(("F1", "help", "help"))
        if self._question.typed and self._line == self._question.typed:
            keys.append(("End", "keeps the selected", ""))
        if self._offered:
            keys.append(("↑↓", "choose", ""))
        return keys

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        if event.value == self._line:
            return
        self._line = event.value
        passes = self._tell(event.value) is None
        self._offer(event.value)
        self._count(event.value if passes else "")

    def _tell(self, typed: str) -> InputError | None:
        """Show what is wrong with a line; an empty one, and the one begun with, get the hint."""
        problem, meant = None, self._question.meant(typed)
        try:
            self._question.check(meant)
        except InputError as error:
            problem = error
        if problem is None and self._question.titled is not None:
            self.query_one(".dialog-title", Static).update(safe(self._question.titled(meant)))
        quiet = problem is None or typed.strip() in ("", self._question.typed.strip())
        text = self._question.hint if quiet else _words(problem)
        self.query_one("#ask-told", Static).update(
            Content.styled(visible(text, 1000), "$quiet" if quiet else "$waiting")
        )
        at = problem.column - len(meant) + len(typed) if isinstance(problem, BadExpressionError) and not quiet else None
        self.query_one("#ask-caret", Static).update(self._caret(at))
        return problem

    def _caret(self, at: int | None) -> Content:
        """Under the place, as long as the line isn't scrolled."""
        line = self.query_one(LineInput)
        if at is None or at < 0 or line.scroll_offset.x:
            return Content("")
        return Content.styled(f"{' ' * (line._position_to_cell(at) + 1)}▲", "$waiting")

    def _offer(self, typed: str | None) -> None:
        """List how a line can go on; None: the one begun with, which is replaced by what is typed."""
        complete = self._question.complete
        line = self.query_one(LineInput)
        before = None if typed is None else typed[: line.cursor_position]
        self._offered = tuple(complete(before)) if complete is not None and before is not None else ()
        options = self.query_one("#ask-offered", OptionList)
        options.clear_options()
        room = max(20, self.size.width - 12)
        options.add_options([Option(safe_text(_offer_line(each), room)) for each in self._offered])
        options.highlighted = 0 if self._offered else None
        options.display = bool(self._offered)
        options.styles.max_height = _OFFERED if self.size.height >= _ROOMY else _OFFERED // 2
        self.query_one(DialogKeys).show(*self._keys())

    def _count(self, typed: str) -> None:
        """Have the records counted that a line is about, once the typing rests."""
        if self._rest is not None:
            self._rest.stop()
        self.query_one("#ask-count", Static).update("")
        if typed and self._question.count is not None:
            work = self._question.count(self._question.meant(typed))
            self._rest = self.set_timer(_REST, partial(self._have_counted, work))

    def _have_counted(self, work: Callable[[], str]) -> None:
        read_in_background(self, "count", work, self._counted, lambda: self._line)

    def _counted(self, text: str) -> None:
        self.query_one("#ask-count", Static).update(Content.styled(visible(text, 200), "$success"))

    @on(Input.Submitted)
    def _give(self, event: Input.Submitted) -> None:
        event.stop()
        if (problem := self._tell(event.value)) is None:
            self.dismiss(self._question.meant(event.value))
            return
        self.query_one("#ask-told", Static).update(Content.styled(visible(_words(problem), 1000), "$waiting"))
        self.app.bell()

    @on(OptionList.OptionSelected)
    def action_take(self) -> None:
        """Go on with what is offered."""
        options, line = self.query_one("#ask-offered", OptionList), self.query_one(LineInput)
        if options.highlighted is None or not self._offered:
            return
        taken, rest = self._offered[options.highlighted].line, line.value[line.cursor_position :]
        line.value = f"{taken}{rest}"
        line.cursor_position = len(taken)

    def action_move(self, by: int) -> None:
        options = self.query_one("#ask-offered", OptionList)
        if options.highlighted is not None:
            options.highlighted = (options.highlighted + by) % options.option_count

    def action_help(self) -> None:
        if self._question.forms:
            self.app.push_screen(FormsScreen(self._question.title, self._question.forms))

    def action_leave(self) -> None:
        self.dismiss(None)


def _offer_line(offered: Completion) -> str:
    return f"{offered.text:<{_FORM}} {offered.meaning}".rstrip()


def _words(problem: InputError | None) -> str:
    return problem.problem if isinstance(problem, BadExpressionError) else str(problem or "")
