"""Two traces beside each other: where they part, by how much, and what it looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from typing import ClassVar, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from tracetui.errors import TracetuiError
from tracetui.text import visible, visible_lines
from tracetui.ui.dialogs.help import HelpScreen
from tracetui.ui.dialogs.theme_picker import ThemeScreen
from tracetui.ui.diff_screen.arrangement import MEDIUM, WIDE, DiffArrangement
from tracetui.ui.diff_screen.commands import ALONE_COMMANDS, DIFF_COMMANDS, DIFF_GROUPS, IN_DIFF_PANES
from tracetui.ui.diff_screen.differences import Differences
from tracetui.ui.diff_screen.grid import DiffGrid
from tracetui.ui.diff_screen.planes import PlanePanes
from tracetui.ui.diff_screen.quantised import QuantisedSides
from tracetui.ui.diff_screen.sites import SiteReader
from tracetui.ui.diff_screen.tree import DiffTree
from tracetui.ui.diff_screen.work import Comparing, LeftError, Surveyed, surveyed
from tracetui.ui.foreign import notify
from tracetui.ui.keys.commands import bindings, shown_key
from tracetui.ui.keys.unknown import UnknownKeys
from tracetui.ui.painting.compositor import PartCompositor
from tracetui.ui.reader import read_in_background
from tracetui.ui.theme.following import follow_theme
from tracetui.ui.themed_app import INTERRUPTED, ThemedApp
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.ui.widgets.key_bar import CommandBar
from tracetui.views.diff.counts import brief
from tracetui.views.diff.report import verdict

_GAUGE = 30
_SAME, _DIFFERENT, _NOT_COMPARED = 0, 1, 2
"""Exit statuses of `tracetui diff`."""
_OF_ATTENTION = ("scores", "next_head", "previous_head")
_OF_VALUES = (
    *("diff_worst", "diff_swap", "diff_scale", "diff_values", "diff_maps", "next_token", "previous_token"),
    *("next_row", "previous_row", *_OF_ATTENTION),
)
"""Commands that need a site with values on both sides."""
Value = TypeVar("Value")


class DiffScreen(Screen[None]):
    """One tree for both sides; finding, values and heatmaps of the line that is chosen."""

    OWN_COMMANDS = DIFF_COMMANDS
    AUTO_FOCUS = "#tree"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (MEDIUM, "-medium"), (WIDE, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(DIFF_COMMANDS)]

    def __init__(self, comparing: Comparing, keymap: Mapping[str, str], is_alone: bool = False) -> None:
        """is_alone: it is the whole program, which leaving it ends, with the exit status of `tracetui diff`."""
        super().__init__()
        self._is_alone = is_alone
        self._commands = ALONE_COMMANDS if is_alone else DIFF_COMMANDS
        self.OWN_COMMANDS = self._commands
        self._compositor = PartCompositor()
        self._comparing = comparing
        self._keymap_shown = keymap
        self._left = Event()
        self._unknown = UnknownKeys()
        self.arrangement = DiffArrangement(self, self._front_changed)
        self.planes = PlanePanes(self.arrangement)
        self.sites = SiteReader(self, comparing, self.planes)
        self.differences = Differences(self, comparing, self.sites, self._left)
        self.quantised = QuantisedSides(self, comparing, self.sites, keymap)
        parts = (self.arrangement, self.planes, self.sites, self.differences, self.quantised)
        self.handlers = {id_: handler for part in parts for id_, handler in part.handlers.items()}
        self.handlers |= {"copy": self._copy, "close_recording": self.leave, "help": self._help, "theme": self._theme}

    def compose(self) -> ComposeResult:
        yield Static(id="diff-head")
        yield Static(id="diff-verdict")
        yield Static(id="diff-said")
        yield Static(id="diff-progress")
        with Horizontal(id="diff-body"):
            yield self.differences.tree
            yield self.arrangement.divider
            with Vertical(id="diff-main"):
                yield self.sites.text
                yield self.sites.short
                yield self.planes.heading
                with Widget(id="diff-planes"):
                    yield self.planes.grid
                    with Widget(id="diff-maps"):
                        *sides, apart = self.planes.maps
                        yield from (apart, *sides)
        yield CommandBar(self._commands, self._keymap_shown)

    def on_mount(self) -> None:
        self.add_class("-comparing")
        self._end_with(INTERRUPTED)  # until it is known how the traces stand
        self._head()
        self.query_one("#diff-progress", Static).update(_progress(0, 0))
        read_in_background(self, "report", partial(_compared, self._comparing, self._tell, self._left), self._show)
        follow_theme(self, DiffScreen._use_theme)
        self._use_theme()
        self.arrangement.show()
        self.planes.title()

    def on_unmount(self) -> None:
        self._left.set()

    def on_resize(self) -> None:
        self.planes.title()
        self.sites.look_for_maps()

    def action_command(self, id_: str) -> None:
        """Do what a command does, or say why it can't do anything here."""
        if why := self._why_idle(id_):
            self.tell(why)
        else:
            self.handlers[id_]()

    def _why_idle(self, id_: str) -> str:
        """Why a command would change nothing; empty where it does something."""
        if id_ in _OF_VALUES:
            if self.sites.surveyed is None:
                return "the traces are still being compared"
            if not self.sites.target.site:
                return "there are no values here: choose a site in the tree; f goes to the first divergence"
            problem = self.sites.view.problem or self.sites.view.planes
            if isinstance(problem, str) and problem and id_ not in _OF_ATTENTION:
                return problem
        if id_ == "diff_swap" and self.app.size.width >= MEDIUM and self.draws:
            return "A, B and A−B are on view together; a narrower screen shows one"
        return ""

    def read(self, group: str, work: Callable[[], Value], then: Callable[[Value], object]) -> None:
        """Do work in the background and hand what it returns to `then`."""
        read_in_background(self, group, work, then)

    def tell(self, text: str, error: bool = False) -> None:
        """Show a notice."""
        notify(self.app, text, severity="error" if error else "information")

    def open(self, screen: Screen[None]) -> None:
        """Show a screen above this one."""
        self.app.push_screen(screen)

    @property
    def draws(self) -> bool:
        """Whether heatmaps are in sight."""
        return self.arrangement.draws

    def tell_in_words(self, words: bool) -> None:
        """Whether the words have all the room."""
        self.set_class(words, "-told")

    def _use_theme(self) -> None:
        palettes = getattr(self.app, "palettes", None)
        if palettes is not None:
            for heatmap in self.planes.maps:
                heatmap.palettes = palettes()

    def _front_changed(self) -> None:
        self.planes.title()
        self.sites.look_for_maps()

    @on(DiffTree.LineChosen)
    def _choose(self, message: DiffTree.LineChosen) -> None:
        message.stop()
        self.sites.choose(message.node)

    @on(DiffGrid.CellMoved)
    def _cell_moved(self, message: DiffGrid.CellMoved) -> None:
        message.stop()
        self.planes.place_maps(message.cell)

    @on(Heatmap.CursorMoved)
    def _crosshair_moved(self, message: Heatmap.CursorMoved) -> None:
        message.stop()
        self.planes.place_all(message.heatmap, message.row, message.column)

    def _tell(self, done: int, total: int) -> None:
        """From the thread that compares."""
        self.call_later(self._progress, done, total)

    def _progress(self, done: int, total: int) -> None:
        self.query_one("#diff-progress", Static).update(_progress(done, total))

    def _show(self, surveyed: Surveyed | str) -> None:
        """The report, or in words why there is none."""
        if isinstance(surveyed, str):
            self._end_with(_NOT_COMPARED)
            words = Content.styled(f" not compared: {visible(surveyed, 400)}", "$error")
            self.query_one("#diff-progress", Static).update(words)
            return
        self.sites.surveyed = surveyed
        self._end_with(_SAME if surveyed.survey.report.comparison.same else _DIFFERENT)
        self.remove_class("-comparing")
        self._head()
        tree = self.differences.tree
        tree.show(surveyed.top, surveyed.ways, surveyed.named)
        report = surveyed.survey.report
        before = report.comparison.preface
        odd = before.tokens or before.config or before.model_types or before.layers or report.comparison.misfits
        tree.go("" if odd or self._comparing.overview or report.first is None else report.first.site)
        if self._comparing.noise:
            self.differences.measure_noise()
        else:
            self.quantised.open_if_alone()

    def _end_with(self, status: int) -> None:
        """What the program's exit status is to be, where this is all of the program."""
        if self._is_alone and isinstance(self.app, ThemedApp):
            self.app.status = status

    def _head(self) -> None:
        a, b = (visible(name, 200) for name in self._comparing.names)
        head = Content.assemble((" diff ", "bold $primary"), (" A ", "bold $accent"), a, ("   B ", "bold $accent"), b)
        self.query_one("#diff-head", Static).update(head)
        if self.sites.surveyed is None:
            return
        report = self.sites.surveyed.survey.report
        same = report.comparison.same
        mark, colour = ("✓", "$success") if same else ("✗", "$error")
        words = Content.assemble((f" {mark} ", f"bold {colour}"), visible(verdict(report)))
        self.query_one("#diff-verdict", Static).update(words)
        preface = brief(report.comparison)
        self.set_class(bool(preface), "-said")
        line = Content.assemble(
            (" beside the numbers: ", "$quiet"),
            (preface, "bold $waiting"),
            (f"   {self._overview_key} shows it", "$quiet"),
        )
        self.query_one("#diff-said", Static).update(line)

    @property
    def _overview_key(self) -> str:
        command = next(command for command in DIFF_COMMANDS if command.id == "diff_overview")
        return shown_key(command, self._keymap_shown)

    def on_key(self, event: events.Key) -> None:
        """A key that nobody took."""
        known = not self.is_current or event.key in self.active_bindings
        if not known and (remark := self._unknown.remark(event.key)):
            notify(self.app, remark)

    def _copy(self) -> None:
        text = self.sites.text.text
        if text:
            self.app.copy_to_clipboard(visible_lines(text))
            notify(self.app, f"copied: {text.splitlines()[0]}")

    def _help(self) -> None:
        self.app.push_screen(HelpScreen(self._keymap_shown, self._commands, DIFF_GROUPS, IN_DIFF_PANES))

    def _theme(self) -> None:
        self.app.push_screen(ThemeScreen())

    def leave(self) -> None:
        """Back to the tree, where the panes have all room; else to what lies below, or out.

        A comparison under way is given up.
        """
        if self.sites.surveyed is not None and self.arrangement.give_back():
            return
        self._left.set()
        if self._is_alone:
            self.run_worker(self.app.run_action("quit"))
        elif self.is_current:
            self.dismiss(None)


def _progress(done: int, total: int) -> Content:
    share = done / total if total else 0.0
    gauge = ("━" * round(_GAUGE * share), "$running"), ("─" * (_GAUGE - round(_GAUGE * share)), "$rule")
    words = f"  comparing: {done:,} of {total:,} sites   " if total else "  aligning both sides' names   "
    return Content.assemble(" ", *gauge, words, ("Esc", "bold $accent"), " gives up")


def _compared(comparing: Comparing, tell: Callable[[int, int], None], left: Event) -> Surveyed | str:
    try:
        return surveyed(comparing, tell, left)
    except LeftError:
        return "given up"
    except (TracetuiError, OSError, MemoryError) as error:
        return str(error) or type(error).__name__
