"""What quantising did: which layers, kinds of weights and positions it hurts, ranked, with bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from tracetui.analysis.quantised.damage import QuantisationReport
from tracetui.text import visible, visible_lines
from tracetui.ui.dialogs.help import HelpScreen
from tracetui.ui.dialogs.theme_picker import ThemeScreen
from tracetui.ui.foreign import notify
from tracetui.ui.keys.commands import bindings
from tracetui.ui.quantised_screen.commands import IN_QUANTISED_PANES, QUANTISED_COMMANDS, QUANTISED_GROUPS
from tracetui.ui.quantised_screen.measuring import Measuring, Quantised, measured
from tracetui.ui.quantised_screen.ranking import RankedLines
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.key_bar import CommandBar
from tracetui.views.quantised.lines import table_lines
from tracetui.views.quantised.ranking import Ranking, ranked
from tracetui.views.quantised.words import brief_lines, detail_text

_GAUGE = 30
_NOTICE_SECONDS = 0.1


class QuantisedScreen(Screen[None]):
    """Tables of one measurement, one at a time, and the chosen line in words."""

    OWN_COMMANDS = QUANTISED_COMMANDS
    AUTO_FOCUS = "#quantised-lines"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(QUANTISED_COMMANDS)]

    def __init__(self, quantised: Quantised, keymap: Mapping[str, str], is_alone: bool = False) -> None:
        """is_alone: there is no screen below, so that leaving it ends the program."""
        super().__init__()
        self._quantised = quantised
        self._keymap_shown = keymap
        self._is_alone = is_alone
        self._measurement: Measuring | None = None
        self._has_left = False
        self._began = False
        self._next_notice = 0.0
        self._report: QuantisationReport | None = None
        self._ranking = Ranking.LAYER
        self._in_order = False
        self.handlers: Mapping[str, Callable[[], None]] = {
            **{f"quantised_{each.name.lower()}": partial(self._go_to, each) for each in Ranking},
            "quantised_next": partial(self._turn, 1),
            "quantised_before": partial(self._turn, -1),
            "quantised_order": self._change_order,
            "quantised_measure": self._measure,
            "copy": self._copy,
            "close_recording": self.leave,
            "help": self._help,
            "theme": self._theme,
        }

    def compose(self) -> ComposeResult:
        yield Static(id="quantised-head")
        yield Static(id="quantised-whole")
        yield Static(id="quantised-progress")
        yield Static(id="quantised-tabs")
        yield RankedLines()
        yield Static(id="quantised-detail")
        yield CommandBar(QUANTISED_COMMANDS, self._keymap_shown)

    def on_mount(self) -> None:
        self.add_class("-measuring")
        original, quantised = (visible(name, 200) for name in self._quantised.names)
        head = Content.assemble(
            (" quantised ", "bold $primary"),
            (" original ", "bold $accent"),
            original,
            ("   quantised ", "bold $accent"),
            quantised,
        )
        self.query_one("#quantised-head", Static).update(head)
        if self._quantised.before:
            words = "\n".join((*self._quantised.before, "", "Enter measures it; Esc goes back."))
            self._tell_progress(Content(visible_lines(words)))
        else:
            self._measure()

    def on_unmount(self) -> None:
        self._give_up()

    def action_command(self, id_: str) -> None:
        """Do what a command does."""
        self.handlers[id_]()

    def _measure(self) -> None:
        if self._began:
            return
        self._began = True
        self._progress("starting", 0, 0)
        work = partial(measured, self._quantised, self._made, self._tell)
        read_in_background(self, "measurement", work, self._show)

    def _made(self, measurement: Measuring) -> None:
        """From the thread that measures."""
        self._measurement = measurement
        if self._has_left:
            measurement.cancel()

    def _tell(self, what: str, done: int, count: int) -> None:
        """From the thread that measures."""
        if (now := monotonic()) >= self._next_notice:
            self._next_notice = now + _NOTICE_SECONDS
            self.call_later(self._progress, what, done, count)

    def _progress(self, what: str, done: int, count: int) -> None:
        filled = round(_GAUGE * done / count) if count else 0
        gauge = ("━" * filled, "$running"), ("─" * (_GAUGE - filled), "$rule")
        words = f"  {visible(what, 60)}{f', {done:,} of {count:,}' if count else ''}   "
        self._tell_progress(Content.assemble(*gauge, words, ("Esc", "bold $accent"), " gives up"))

    def _tell_progress(self, content: Content) -> None:
        self.query_one("#quantised-progress", Static).update(content)

    def _show(self, report: QuantisationReport | str) -> None:
        """The report, or in words why there is none."""
        if isinstance(report, str):
            self._tell_progress(Content.styled(f"not measured: {visible(report, 400)}", "$error"))
            return
        self._report = report
        self.remove_class("-measuring")
        self.query_one("#quantised-whole", Static).update(Content(visible_lines("\n".join(brief_lines(report)))))
        self._go_to(Ranking.LAYER)
        for note in report.notes:
            self.log(note)

    def _go_to(self, ranking: Ranking) -> None:
        if self._report is None:
            return
        self._ranking = ranking
        self._tabs()
        self.query_one("#quantised-detail", Static).update("")
        self.query_one(RankedLines).show(ranked(self._report, ranking, self._in_order))

    def _tabs(self) -> None:
        assert self._report is not None
        parts: list[tuple[str, str]] = []
        for number, ranking in enumerate(Ranking, 1):
            count = len(ranked(self._report, ranking).rows)
            here = ranking is self._ranking
            parts.append((f" {number} {ranking.value} {count:,} ", "bold reverse $accent" if here else "$quiet"))
        self.query_one("#quantised-tabs", Static).update(Content.assemble(*parts))

    def _turn(self, by: int) -> None:
        every = list(Ranking)
        self._go_to(every[(every.index(self._ranking) + by) % len(every)])

    def _change_order(self) -> None:
        self._in_order = not self._in_order
        self._go_to(self._ranking)
        notify(self.app, "in the order of the model" if self._in_order else "the most damaging first")

    @on(RankedLines.RowChosen)
    def _choose(self, message: RankedLines.RowChosen) -> None:
        message.stop()
        if self._report is not None:
            words = visible(detail_text(self._report, message.row.damage), 600)
            self.query_one("#quantised-detail", Static).update(Content(words))

    def _copy(self) -> None:
        if self._report is not None:
            table = ranked(self._report, self._ranking, self._in_order)
            self.app.copy_to_clipboard("\n".join(table_lines(table)))
            notify(self.app, f"copied: {table.title}")

    def _help(self) -> None:
        self.app.push_screen(HelpScreen(self._keymap_shown, QUANTISED_COMMANDS, QUANTISED_GROUPS, IN_QUANTISED_PANES))

    def _theme(self) -> None:
        self.app.push_screen(ThemeScreen())

    def _give_up(self) -> None:
        self._has_left = True
        if self._measurement is not None:
            self._measurement.cancel()

    def leave(self) -> None:
        """Back to the screen below, or to the shell; a measurement under way is given up."""
        self._give_up()
        if self._is_alone:
            self.run_worker(self.app.run_action("quit"))
        elif self.is_current:
            self.dismiss(None)
