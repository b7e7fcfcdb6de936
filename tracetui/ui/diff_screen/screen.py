"""Two traces beside each other: where they part, by how much, and what it looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from tracetui.analysis.diff.rounding.noise import NoiseReport
from tracetui.analysis.diff.survey import Survey
from tracetui.errors import TracetuiError
from tracetui.text import visible
from tracetui.ui.dialogs.help import HelpScreen
from tracetui.ui.dialogs.theme_picker import ThemeScreen
from tracetui.ui.diff_screen.commands import DIFF_COMMANDS, DIFF_GROUPS, IN_DIFF_PANES
from tracetui.ui.diff_screen.sites import DiffSitesScreen
from tracetui.ui.diff_screen.text import DiffText
from tracetui.ui.diff_screen.tree import OVERVIEW, DiffTree
from tracetui.ui.diff_screen.work import Comparing, LeftError, Surveyed, noise_of, surveyed
from tracetui.ui.foreign import notify
from tracetui.ui.keys.commands import bindings
from tracetui.ui.reader import read_in_background
from tracetui.views.diff.counts import brief
from tracetui.views.diff.noise import noise_verdict
from tracetui.views.diff.report import verdict

_GAUGE = 30


class DiffScreen(DiffSitesScreen):
    """One tree for both sides; finding, values and heatmaps of the line that is chosen."""

    OWN_COMMANDS = DIFF_COMMANDS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(DIFF_COMMANDS)]

    def __init__(self, asked: Comparing, keymap: Mapping[str, str]) -> None:
        super().__init__(asked, keymap)
        self._left = Event()
        self._rerunning = False

    def on_mount(self) -> None:
        self.add_class("-comparing")
        self._head()
        self.query_one("#diff-progress", Static).update(_progress(0, 0))
        read_in_background(self, "report", partial(_compared, self._asked, self._tell, self._left), self._show)

    def on_unmount(self) -> None:
        self._left.set()

    def _tell(self, done: int, total: int) -> None:
        """From the thread that compares."""
        self.call_later(self._progress, done, total)

    def _progress(self, done: int, total: int) -> None:
        self.query_one("#diff-progress", Static).update(_progress(done, total))

    def _show(self, surveyed: Surveyed | str) -> None:
        """The report, or in words why there is none."""
        if isinstance(surveyed, str):
            words = Content.styled(f" not compared: {visible(surveyed, 400)}", "$error")
            self.query_one("#diff-progress", Static).update(words)
            return
        self._found = surveyed
        self.remove_class("-comparing")
        self._head()
        tree = self.query_one(DiffTree)
        tree.show(surveyed.top, surveyed.ways, surveyed.named)
        report = surveyed.survey.report
        before = report.comparison.preface
        odd = before.tokens or before.config or before.model_types or before.layers or report.comparison.misfits
        tree.go("" if odd or self._asked.overview or report.first is None else report.first.site)
        if self._asked.noise:
            self.action_noise()

    def _head(self) -> None:
        a, b = (visible(name, 200) for name in self._asked.names)
        head = Content.assemble((" diff ", "bold $primary"), (" A ", "bold $accent"), a, ("   B ", "bold $accent"), b)
        self.query_one("#diff-head", Static).update(head)
        if self._found is None:
            return
        report = self._found.survey.report
        same = report.comparison.same
        mark, colour = ("✓", "$success") if same else ("✗", "$error")
        words = Content.assemble((f" {mark} ", f"bold {colour}"), visible(verdict(report)))
        self.query_one("#diff-verdict", Static).update(words)
        preface = brief(report.comparison)
        self.set_class(bool(preface), "-said")
        line = Content.assemble((" said first: ", "$quiet"), (preface, "bold $waiting"), ("   o shows it", "$quiet"))
        self.query_one("#diff-said", Static).update(line)

    def action_first(self) -> None:
        first = self._found.survey.report.first if self._found else None
        self._go_to(first.site if first else "", "nothing differs")

    def action_overview(self) -> None:
        if self._found:
            self.query_one(DiffTree).go("")

    def action_apart(self, by: int) -> None:
        self._step(self._found.survey.apart if self._found else (), by, "differing site")

    def action_clue(self, by: int) -> None:
        self._step(self._found.survey.clues if self._found else (), by, "hint or routing change")

    def _step(self, stops: tuple[str, ...], by: int, what: str) -> None:
        """To the next of some sites in order of execution, or the one before."""
        if self._found is None:
            return
        if not stops:
            self._go_to("", f"there is no {what}")
            return
        places = self._found.survey.places
        here = places.get(self._wanted.site, -1 if by > 0 else len(places))
        ahead = [site for site in stops if (places[site] > here if by > 0 else places[site] < here)]
        self._go_to(
            (ahead[0] if by > 0 else ahead[-1]) if ahead else "", f"no {what} {'after' if by > 0 else 'before'} this"
        )

    def _go_to(self, site: str, otherwise: str) -> None:
        if self._found is None:
            return
        if site:
            self.query_one(DiffTree).go(site)
        else:
            notify(self.app, otherwise)

    def action_noise(self) -> None:
        """Have one side run again in float64; what was found is told once it is there."""
        if self._asked.rerun is None or self._found is None:
            notify(self.app, "noise needs the model: `tracetui diff A B --tui` runs it again, where torch is installed")
        elif self._rerunning:
            notify(self.app, "one side is being run again in float64")
        else:
            self._rerunning = True
            notify(self.app, "one side is run again in float64; what it says will be told here")
            read_in_background(
                self, "noise", partial(_noise, self._asked, self._found.survey, self._left), self._show_noise
            )

    def _show_noise(self, noise: NoiseReport | str) -> None:
        """The differences in units of rounding noise, or in words why not."""
        self._rerunning = False
        if isinstance(noise, str):
            notify(self.app, noise, severity="error")
            return
        self._noise = noise
        notify(self.app, noise_verdict(noise))
        suspects = tuple(suspect.site.site for suspect in noise.suspects)
        if suspects and suspects[0] != self._wanted.site:
            self._go_to(suspects[0], "")
        elif self._wanted.site and not self._view.problem:
            self._show_text()
        else:
            self._tell_group(OVERVIEW)

    def action_copy(self) -> None:
        text = self.query_one(DiffText).text
        if text:
            self.app.copy_to_clipboard(visible_lines(text))
            notify(self.app, f"copied: {text.splitlines()[0]}")

    def action_help(self) -> None:
        self.app.push_screen(HelpScreen(self._keymap_shown, DIFF_COMMANDS, DIFF_GROUPS, IN_DIFF_PANES))

    def action_theme(self) -> None:
        self.app.push_screen(ThemeScreen())

    def action_leave(self) -> None:
        """Back to the debugger; a comparison under way is given up."""
        self._left.set()
        if self.is_current:
            self.dismiss(None)


def visible_lines(text: str) -> str:
    """Several lines made visible, and kept apart."""
    return "\n".join(visible(line, 4000) for line in text.splitlines())


def _progress(done: int, total: int) -> Content:
    share = done / total if total else 0.0
    gauge = ("━" * round(_GAUGE * share), "$running"), ("─" * (_GAUGE - round(_GAUGE * share)), "$rule")
    words = f"  comparing: {done:,} of {total:,} sites   " if total else "  aligning both sides' names   "
    return Content.assemble(" ", *gauge, words, ("Esc", "bold $accent"), " gives up")


def _compared(asked: Comparing, tell: Callable[[int, int], None], left: Event) -> Surveyed | str:
    try:
        return surveyed(asked, tell, left)
    except LeftError:
        return "given up"
    except (TracetuiError, OSError, MemoryError) as error:
        return str(error) or type(error).__name__


def _noise(asked: Comparing, survey: Survey, left: Event) -> NoiseReport | str:
    try:
        return noise_of(asked, survey, left)
    except LeftError:
        return "given up"
    except (TracetuiError, OSError, MemoryError, ImportError) as error:
        return str(error) or type(error).__name__
