"""Two traces beside each other: where they part, by how much, and what it looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from threading import Event
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from tracetui.analysis.diff.noise import NoiseReport
from tracetui.analysis.diff.survey import Survey
from tracetui.analysis.diff.tree import Node
from tracetui.errors import TracetuiError
from tracetui.text import visible
from tracetui.ui.commands import bindings
from tracetui.ui.diff_commands import DIFF_COMMANDS, DIFF_GROUPS, IN_DIFF_PANES
from tracetui.ui.diff_reading import LETTERS, PLANES, TENSOR, Planes, SiteView, Wanted, read_site
from tracetui.ui.diff_work import Comparing, LeftError, Surveyed, noise_of, surveyed
from tracetui.ui.foreign import notify
from tracetui.ui.reader import look
from tracetui.ui.screens.help import HelpScreen
from tracetui.ui.screens.theme_picker import ThemeScreen
from tracetui.ui.widgets.diff_grid import DiffGrid
from tracetui.ui.widgets.diff_text import DiffText
from tracetui.ui.widgets.diff_tree import OVERVIEW, DiffTree
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.ui.widgets.key_bar import CommandBar
from tracetui.views.diff_brief import brief
from tracetui.views.diff_lines import diff_lines, verdict
from tracetui.views.diff_noise import noise_entry, noise_verdict
from tracetui.views.diff_told import group_lines, site_lines
from tracetui.views.diff_values import statistics_lines
from tracetui.views.heatmap import HeatmapData, nothing

_GAUGE = 30
_FRONTS = ("finding", "values", "maps")
_WIDE = 160


class DiffScreen(Screen[None]):
    """One tree for both sides; finding, values and heatmaps of the line that is chosen."""

    AUTO_FOCUS = "#tree"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-medium"), (_WIDE, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(DIFF_COMMANDS)]

    class Progressed(Message):
        def __init__(self, done: int, total: int) -> None:
            super().__init__()
            self.done = done
            self.total = total

    class Compared(Message):
        """The report is there, or in words why not."""

        def __init__(self, found: Surveyed | None, problem: str = "") -> None:
            super().__init__()
            self.found = found
            self.problem = problem

    class Noise(Message):
        """The differences in units of rounding noise, or in words why not."""

        def __init__(self, found: NoiseReport | None, problem: str = "") -> None:
            super().__init__()
            self.found = found
            self.problem = problem

    class SiteRead(Message):
        def __init__(self, asked: Wanted, view: SiteView, at_worst: bool) -> None:
            super().__init__()
            self.asked = asked
            self.view = view
            self.at_worst = at_worst

    def __init__(self, asked: Comparing, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._asked = asked
        self._keymap_shown = keymap
        self._found: Surveyed | None = None
        self._wanted = Wanted()
        self._view = SiteView(Wanted())
        self._to_worst = False
        self._reading: Wanted | None = None
        self._front = "finding"
        self._side = 2
        self._left = Event()
        self._noise: NoiseReport | None = None
        self._rerunning = False

    def compose(self) -> ComposeResult:
        yield Static(id="diff-head")
        yield Static(id="diff-verdict")
        yield Static(id="diff-said")
        yield Static(id="diff-progress")
        with Horizontal(id="diff-body"):
            yield DiffTree()
            with Vertical(id="diff-main"):
                yield DiffText()
                yield Static(id="diff-plane")
                with Widget(id="diff-planes"):
                    yield DiffGrid()
                    with Horizontal(id="diff-maps"):
                        for place in range(len(LETTERS)):
                            yield Heatmap(id=f"diff-map-{place}")
        yield CommandBar(DIFF_COMMANDS, self._keymap_shown)

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, self._use_theme)
        self._use_theme()
        self._show_front()
        self.add_class("-comparing")
        self._head()
        self.query_one("#diff-progress", Static).update(_progress(0, 0))
        look(self, "report", partial(_compared, self._asked, self._tell, self._left))

    def on_unmount(self) -> None:
        self._left.set()

    def _use_theme(self, _: object = None) -> None:
        palettes = getattr(self.app, "palettes", None)
        if palettes is not None:
            for heatmap in self.query(Heatmap):
                heatmap.palettes = palettes()

    def _tell(self, done: int, total: int) -> None:
        """From the thread that compares."""
        self.post_message(self.Progressed(done, total))

    @on(Progressed)
    def _progress(self, message: Progressed) -> None:
        self.query_one("#diff-progress", Static).update(_progress(message.done, message.total))

    @on(Compared)
    def _show(self, message: Compared) -> None:
        found = message.found
        if found is None:
            told = Content.styled(f" not compared: {visible(message.problem, 400)}", "$error")
            self.query_one("#diff-progress", Static).update(told)
            return
        self._found = found
        self.remove_class("-comparing")
        self._head()
        tree = self.query_one(DiffTree)
        tree.show(found.top, found.ways, found.named)
        report = found.survey.report
        before = report.comparison.preface
        odd = before.tokens or before.config or before.model_types or before.layers or report.comparison.misfits
        tree.go("" if odd or report.first is None else report.first.site)
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
        told = Content.assemble((f" {mark} ", f"bold {colour}"), visible(verdict(report)))
        self.query_one("#diff-verdict", Static).update(told)
        said = brief(report.comparison)
        self.set_class(bool(said), "-said")
        line = Content.assemble((" said first: ", "$quiet"), (said, "bold $waiting"), ("   o shows it", "$quiet"))
        self.query_one("#diff-said", Static).update(line)

    @on(DiffTree.Chosen)
    def _choose(self, message: DiffTree.Chosen) -> None:
        message.stop()
        if self._found is None:
            return
        node = message.node
        if node.site:
            if node.site != self._wanted.site:
                self._want(replace(self._wanted, site=node.site), to_worst=True)
            return
        self._wanted = replace(self._wanted, site="")
        self._tell_group(node)

    def _tell_group(self, node: Node) -> None:
        """The overview, or a group that has no values of its own."""
        assert self._found
        report, names = self._found.survey.report, self._asked.names
        if node.path:
            told = "A group: choose a site inside it (Enter unfolds)."
            self.query_one(DiffText).show(partial(group_lines, node))
        else:
            told = "Choose a site in the tree; f goes to the first divergence."
            self.query_one(DiffText).show(lambda width: list(diff_lines(report, names, True, width, self._noise)))
        self._show_planes(told, (0, 0), (nothing(told),) * 3)

    def _want(self, wanted: Wanted, to_worst: bool = False) -> None:
        """Have something read; while something else is, the newest wish waits."""
        self._wanted = replace(wanted, drawn=self._draws)
        self._to_worst = to_worst or (self._to_worst and wanted.site == self._wanted.site)
        if self._reading is None:
            self._read()

    @property
    def _draws(self) -> bool:
        """Whether heatmaps are in sight."""
        return self._front == "maps" or self.app.size.width >= _WIDE

    def _read(self) -> None:
        if self._found is None or not self._wanted.site:
            return
        self._reading = self._wanted
        work = partial(_site_read, self._found.survey, self._wanted, self._view, self._to_worst)
        self._to_worst = False
        look(self, "site", work)

    @on(SiteRead)
    def _show_site(self, message: SiteRead) -> None:
        self._reading = None
        if message.asked != self._wanted:
            # Something else was chosen meanwhile: what is at hand of the same site is of use to it.
            self._view = message.view
            self._to_worst = self._to_worst or message.asked.site != self._wanted.site
            self._read()
            return
        fresh = message.view.wanted.site != self._view.wanted.site or self.query_one(DiffText).idle
        self._view, self._wanted = message.view, message.view.wanted
        if fresh or message.view.problem:
            self._show_text()
        view = self._view
        grid = self.query_one(DiffGrid)
        self._show_planes(view.problem or view.planes, view.cell if message.at_worst else grid.cell, view.pictures)

    def _show_text(self) -> None:
        assert self._found
        view = self._view
        lay = partial(site_lines, self._found.survey.report, view.wanted.site, view.finding, view.alone, view.problem)
        noise = self._noise.of(view.wanted.site) if self._noise else None
        beside = statistics_lines(*view.statistics) if any(view.statistics) else []
        self.query_one(DiffText).show(lambda width: [*lay(width), *noise_entry(noise, width)], beside)

    def _show_planes(self, planes: Planes | str, cell: tuple[int, int], pictures: tuple[HeatmapData, ...]) -> None:
        grid = self.query_one(DiffGrid)
        grid.show(planes, cell)
        for heatmap, picture in zip(self.query(Heatmap), pictures, strict=False):
            heatmap.show(picture)
            heatmap.place(*grid.cell)
        self._title()

    def _title(self) -> None:
        """` 3 values  4 maps   [0, 5, :, :]  T × K  head 5 of 0–31`."""
        planes = self._view.planes if self._wanted.site else ""
        tabs = [(" 3 values", "values"), (" 4 maps", "maps")]
        wide = self.app.size.width >= _WIDE
        named = [(text, "bold $accent" if front == self._front and not wide else "$quiet") for text, front in tabs]
        told = Content.assemble(*named, "  ", *_plane_parts(planes, self._wanted))
        self.query_one("#diff-plane", Static).update(told)

    @on(DiffGrid.CellMoved)
    def _cell_moved(self, message: DiffGrid.CellMoved) -> None:
        message.stop()
        for heatmap in self.query(Heatmap):
            heatmap.place(*message.cell)

    @on(Heatmap.CursorMoved)
    def _crosshair_moved(self, message: Heatmap.CursorMoved) -> None:
        """One cell is looked at in all three, and in the values."""
        message.stop()
        for heatmap in self.query(Heatmap):
            if heatmap is not message.heatmap:
                heatmap.place(message.row, message.column)
        self.query_one(DiffGrid).place(message.row, message.column)

    def on_resize(self) -> None:
        self._title()
        if self._wanted.site and self._draws and not self._wanted.drawn:
            self._want(self._wanted)

    def action_first(self) -> None:
        first = self._found.survey.report.first if self._found else None
        self._go_to(first.site if first else "", "nothing differs")

    def action_overview(self) -> None:
        if self._found:
            self.query_one(DiffTree).go("")
            self._bring("finding")

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
            look(self, "noise", partial(_noise, self._asked, self._found.survey, self._left))

    @on(Noise)
    def _show_noise(self, message: Noise) -> None:
        self._rerunning = False
        self._noise = message.found or self._noise
        if message.found is None:
            notify(self.app, message.problem, severity="error")
            return
        notify(self.app, noise_verdict(message.found))
        suspects = tuple(found.site.site for found in message.found.suspects)
        if suspects and suspects[0] != self._wanted.site:
            self._go_to(suspects[0], "")
        elif self._wanted.site and not self._view.problem:
            self._show_text()
        else:
            self._tell_group(OVERVIEW)

    def action_worst(self) -> None:
        if self._wanted.site:
            self._want(replace(self._wanted, plane=TENSOR), to_worst=True)

    def action_plane_next(self) -> None:
        after = PLANES[(PLANES.index(self._wanted.plane) + 1) % len(PLANES)]
        self._want(replace(self._wanted, plane=after))

    def action_head(self, by: int) -> None:
        planes = self._view.planes
        heads = planes.heads if isinstance(planes, Planes) else 0
        if not heads:
            notify(self.app, "this has no heads")
            return
        self._want(replace(self._wanted, head=max(0, min(heads - 1, self._wanted.head + by))))

    def action_batch(self, by: int) -> None:
        rows = len(self._asked.a.tokens or self._asked.b.tokens)
        self._want(replace(self._wanted, batch=max(0, min(rows - 1, self._wanted.batch + by))))

    def action_token(self, by: int) -> None:
        grid = self.query_one(DiffGrid)
        grid.place(grid.cell[0] + by, grid.cell[1])
        for heatmap in self.query(Heatmap):
            heatmap.place(*grid.cell)

    def action_own_scale(self) -> None:
        self._want(replace(self._wanted, own_scale=not self._wanted.own_scale))

    def action_side(self, by: int) -> None:
        self._side = (self._side + by) % len(LETTERS)
        self._bring("maps")

    def action_pane(self, pane: str) -> None:
        self._bring(pane)
        focus = {"tree": "#tree", "finding": "#finding", "values": "#diff-values", "maps": f"#diff-map-{self._side}"}
        self.set_focus(self.query_one(focus[pane]))

    def _bring(self, pane: str) -> None:
        if pane in _FRONTS:
            self._front = pane
            self._show_front()
            if self._wanted.site and self._draws and not self._wanted.drawn:
                self._want(self._wanted)

    def _show_front(self) -> None:
        for front in _FRONTS:
            self.set_class(front == self._front, f"-front-{front}")
        for place in range(len(LETTERS)):
            self.set_class(place == self._side, f"-side-{place}")
        self._title()

    def action_maximise(self) -> None:
        self.toggle_class("-maximised")

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


def _plane_parts(planes: Planes | str, wanted: Wanted) -> list[tuple[str, str]]:
    if isinstance(planes, str):
        return []
    plane = planes.plane
    parts = [(plane.where, "bold $accent")]
    if plane.rows.name:
        parts.append((f"  {plane.rows.name} × {plane.columns.name}", "$quiet"))
    parts.append((f"  {plane.note}", "$foreground"))
    if wanted.plane != TENSOR:
        parts.append((f"  attention: {wanted.plane}", "bold $waiting"))
    return parts


def _progress(done: int, total: int) -> Content:
    share = done / total if total else 0.0
    gauge = ("━" * round(_GAUGE * share), "$running"), ("─" * (_GAUGE - round(_GAUGE * share)), "$rule")
    told = f"  comparing: {done:,} of {total:,} sites   " if total else "  aligning both sides' names   "
    return Content.assemble(" ", *gauge, told, ("Esc", "bold $accent"), " gives up")


def _compared(asked: Comparing, tell: Callable[[int, int], None], left: Event) -> DiffScreen.Compared:
    try:
        return DiffScreen.Compared(surveyed(asked, tell, left))
    except LeftError:
        return DiffScreen.Compared(None, "given up")
    except (TracetuiError, OSError, MemoryError) as error:
        return DiffScreen.Compared(None, str(error) or type(error).__name__)


def _noise(asked: Comparing, survey: Survey, left: Event) -> DiffScreen.Noise:
    try:
        return DiffScreen.Noise(noise_of(asked, survey, left))
    except LeftError:
        return DiffScreen.Noise(None, "given up")
    except (TracetuiError, OSError, MemoryError, ImportError) as error:
        return DiffScreen.Noise(None, str(error) or type(error).__name__)


def _site_read(survey: Survey, wanted: Wanted, before: SiteView, to_worst: bool) -> DiffScreen.SiteRead:
    return DiffScreen.SiteRead(wanted, read_site(survey, wanted, before, to_worst), to_worst)
