"""Reading what one site is on both sides, and which plane of it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from textual import on
from textual.content import Content
from textual.widgets import Static

from tracetui.analysis.diff.result import Outcome
from tracetui.analysis.diff.rounding.noise import NoiseReport
from tracetui.analysis.diff.tree import Node
from tracetui.debugger.diff_reading import PLANES, TENSOR, Planes, SiteTarget, SiteView, read_site
from tracetui.text import visible
from tracetui.ui.diff_screen.grid import DiffGrid
from tracetui.ui.diff_screen.panes import DiffPanesScreen
from tracetui.ui.diff_screen.text import DiffText
from tracetui.ui.diff_screen.tree import DiffTree
from tracetui.ui.diff_screen.work import Comparing, Surveyed
from tracetui.ui.foreign import notify
from tracetui.ui.reader import read_in_background
from tracetui.views.diff.noise import noise_entry
from tracetui.views.diff.one_line import short_lines
from tracetui.views.diff.report import diff_lines
from tracetui.views.diff.values import statistics_lines
from tracetui.views.diff.verdict import group_lines, site_lines
from tracetui.views.heatmap.matrix import nothing


class DiffSitesScreen(DiffPanesScreen):
    """Panes that show the site that is wanted, as soon as it has been read."""

    def __init__(self, asked: Comparing, keymap: Mapping[str, str]) -> None:
        super().__init__(asked, keymap)
        self._found: Surveyed | None = None
        self._noise: NoiseReport | None = None
        self._to_worst = False
        self._reading: SiteTarget | None = None

    def look_for_maps(self) -> None:
        """Have the site read again where its heatmaps are in sight and not drawn."""
        if self._wanted.site and self._draws and not self._wanted.drawn:
            self._want(self._wanted)

    @on(DiffTree.LineChosen)
    def _choose(self, message: DiffTree.LineChosen) -> None:
        message.stop()
        if self._found is None:
            return
        node = message.node
        if node.site:
            if node.site != self._wanted.site:
                self._want(replace(self._wanted, site=node.site), to_worst=True)
            return
        self._wanted = replace(self._wanted, site="")
        self.add_class("-told")
        self._tell_group(node)

    def _tell_group(self, node: Node) -> None:
        """The overview, or a group that has no values of its own."""
        assert self._found
        report, names = self._found.survey.report, self._asked.names
        if node.path:
            words = "A group: choose a site inside it (Enter unfolds)."
            self.query_one(DiffText).show(partial(group_lines, node))
        else:
            words = "Choose a site in the tree; f goes to the first divergence."
            self.query_one(DiffText).show(lambda width: list(diff_lines(report, names, True, width, self._noise)))
        self._show_planes(words, (0, 0), (nothing(words),) * 3)

    def _want(self, wanted: SiteTarget, to_worst: bool = False) -> None:
        """Have something read; while something else is, the newest wish waits."""
        self.remove_class("-told")
        self._wanted = replace(wanted, drawn=self._draws)
        self._to_worst = to_worst or (self._to_worst and wanted.site == self._wanted.site)
        if self._reading is None:
            self._read()

    def _read(self) -> None:
        if self._found is None or not self._wanted.site:
            return
        self._reading = self._wanted
        work = partial(read_site, self._found.survey, self._wanted, self._view, self._to_worst)
        then = partial(self._show_site, self._wanted, self._to_worst)
        self._to_worst = False
        read_in_background(self, "site", work, then)

    def _show_site(self, asked: SiteTarget, at_worst: bool, view: SiteView) -> None:
        self._reading = None
        if asked != self._wanted:
            # Something else was chosen meanwhile: what is at hand of the same site is of use to it.
            self._view = view
            self._to_worst = self._to_worst or asked.site != self._wanted.site
            self._read()
            return
        fresh = view.wanted.site != self._view.wanted.site or self.query_one(DiffText).idle
        self._view, self._wanted = view, view.wanted
        if fresh or view.problem:
            self._show_text()
        grid = self.query_one(DiffGrid)
        self._show_planes(view.problem or view.planes, view.cell if at_worst else grid.cell, view.pictures)

    def _show_text(self) -> None:
        assert self._found
        view = self._view
        self._show_short()
        lay = partial(site_lines, self._found.survey.report, view.wanted.site, view.finding, view.alone, view.problem)
        noise = self._noise.of(view.wanted.site) if self._noise else None
        beside = statistics_lines(*view.statistics) if any(view.statistics) else []
        self.query_one(DiffText).show(lambda width: [*lay(width), *noise_entry(noise, width)], beside)

    def _show_short(self) -> None:
        finding = self._view.finding
        summary, looks = short_lines(finding) if finding and not self._view.problem else ("on one side only", "")
        quiet = finding is None or finding.site.outcome is Outcome.SAME
        lines = [(visible(summary), "$quiet" if quiet else "bold $foreground")]
        if looks:
            lines.append((f"\n{visible(looks)}", "bold $waiting"))
        self.query_one("#diff-short", Static).update(Content.assemble(*lines))

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

    def action_own_scale(self) -> None:
        self._want(replace(self._wanted, own_scale=not self._wanted.own_scale))
