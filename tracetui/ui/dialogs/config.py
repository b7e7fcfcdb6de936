"""The configuration, every field explained: to scroll, to search, and to come to from a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from tracetui.debugger.session import Explained
from tracetui.recipe.fields.deciding import deciding
from tracetui.recipe.fields.field import ConfigReport, FieldOrigin
from tracetui.text import visible
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import LEAVE, DialogKeys
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.line_input import LineInput
from tracetui.ui.widgets.report_lines import ReportLines
from tracetui.views.config_lines import ConfigLine, LineKind, config_report_lines

_KEYS = (("/", "find", "find"), ("n N", "next", "next(1)"), LEAVE)
_FIELDS = (LineKind.FIELD, LineKind.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Laid:
    """The report's lines at a width."""

    width: int
    lines: Sequence[ConfigLine]


class ConfigScreen(Dialog[None]):
    """Opened at a tensor it stands at the first field that decides its shape; `n` goes to the next one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,C", "leave", "leave", show=False, id="leave"),
        Binding("slash", "find", "find in the report", show=False, id="find"),
        Binding("n", "next(1)", "the next place found", show=False, id="next_found"),
        Binding("N", "next(-1)", "the place found before", show=False, id="previous_found"),
    ]

    def __init__(self, place: str, answer: Explained | None) -> None:
        """`place` is that of a tensor within its layer, such as `self_attn.q_proj`, or empty."""
        super().__init__()
        self._place = place
        self._answer = answer
        self._laid = Laid(0, ())
        self._told = ""
        self._typed = ""
        self._lines = ReportLines()
        self._find_line = LineInput(id="config-find", placeholder="find in the report", compact=True)
        self._heading = Static(id="config-title", markup=False)
        self._keys = DialogKeys(*_KEYS)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="config"):
            yield from (self._heading, self._lines, self._keys, self._find_line)

    def on_mount(self) -> None:
        self._lines.focus()
        self._say()

    def answer(self, answer: Explained) -> None:
        """The report has come."""
        self._answer = answer
        self._lay()
        self._say()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._lay)

    def _lay(self) -> None:
        """Have the lines made for the width that there is."""
        width = self._lines.room
        report = self._answer.report if self._answer else None
        if report is not None and width > 0 and width != self._laid.width:
            read_in_background(self, "config", partial(_lay, report, width), self._show)

    def _show(self, laid: Laid) -> None:
        first = not self._laid.lines
        self._laid = laid
        self._lines.show(laid.lines)
        if self._typed:
            self._lines.find(self._matches(self._typed))
        elif self._place and self._answer and self._answer.report:
            names = deciding(self._answer.report, self._place)
            self._told = f"for {self._place}" if names else f"no field sets the shape of {self._place}"
            self._lines.find([at for at, line in enumerate(laid.lines) if line.kind in _FIELDS and line.field in names])
            if first and names:
                self._lines.next_found(0)
        self._say()

    def action_find(self) -> None:
        self.add_class("-finding")
        self._find_line.value = ""
        self._find_line.focus()

    def action_next(self, by: int) -> None:
        self._lines.next_found(by)
        self._say()

    def action_leave(self) -> None:
        if self.has_class("-finding"):
            self._close_find()
        else:
            self.dismiss(None)

    @on(Input.Submitted)
    def _find(self, event: Input.Submitted) -> None:
        """To the next line that has the text; without one the line stays to be changed."""
        event.stop()
        places = self._matches(event.value) if event.value else []
        if not places:
            self.app.bell()
            return
        self._typed = event.value
        self._told = ""
        self._lines.find(places)
        self._lines.next_found(0)
        self._close_find()
        self._say()

    def _matches(self, typed: str) -> list[int]:
        return [at for at, line in enumerate(self._laid.lines) if typed.lower() in line.text.lower()]

    def _close_find(self) -> None:
        self.remove_class("-finding")
        self._lines.focus()

    def _say(self) -> None:
        self._heading.update(self._title())
        place = self._lines.standing
        hint = self._told or (f"for “{visible(self._typed, 40)}”" if self._typed else "")
        self._keys.show(*_KEYS, beside=f"{place} {hint}".strip())

    def _title(self) -> Content:
        answer = self._answer
        if answer is None:
            return Content.styled(" Configuration · being explained, as soon as the model isn't at work…", "$waiting")
        if answer.report is None:
            return Content.styled(f" Configuration · {visible(answer.error, 500)}", "$error")
        return Content.assemble((" Configuration", "bold $primary"), (_counts(answer.report), "$quiet"))


def _counts(report: ConfigReport) -> str:
    unknown = sum(field.origin is FieldOrigin.UNDECLARED for field in report.fields)
    counts = [visible(report.name, 60), _number(len(report.fields), "field")]
    counts += [f"{unknown} unknown"] if unknown else []
    counts += [_number(len(report.contradictions), "contradiction")] if report.contradictions else []
    return "".join(f" · {part}" for part in counts)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _lay(report: ConfigReport, width: int) -> Laid:
    return Laid(width, tuple(config_report_lines(report, width)))
