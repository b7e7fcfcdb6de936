"""What one site is on both sides: it is read, and told in words and planes, as soon as a line names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from textual.content import Content
from textual.widgets import Static

from tracetui.analysis.diff.result import Outcome
from tracetui.analysis.diff.rounding.noise import NoiseReport
from tracetui.analysis.diff.tree import Node
from tracetui.debugger.readings.diff import PLANES, TENSOR, Planes, SiteTarget, SiteView, read_site
from tracetui.text import visible
from tracetui.ui.diff_screen.planes import PlanePanes
from tracetui.ui.diff_screen.text import DiffText
from tracetui.ui.diff_screen.work import Comparing, Surveyed
from tracetui.views.diff.noise import noise_entry
from tracetui.views.diff.one_line import short_lines
from tracetui.views.diff.report import diff_lines
from tracetui.views.diff.values import statistics_lines
from tracetui.views.diff.verdict import group_lines, site_lines
from tracetui.views.heatmap.matrix import nothing

Value = TypeVar("Value")


class DiffHost(Protocol):
    """What the parts of the diff's screen ask of it."""

    def read(self, group: str, work: Callable[[], Value], then: Callable[[Value], object]) -> None:
        """Do work in the background and hand what it returns to `then`."""

    def tell(self, text: str, error: bool = False) -> None:
        """Show a notice."""

    @property
    def draws(self) -> bool:
        """Whether heatmaps are in sight."""

    def tell_in_words(self, words: bool) -> None:
        """Whether the words have all the room, as for what has no values of its own."""


class SiteReader:
    """While one site is read the newest wish waits: of the same site most is at hand then."""

    def __init__(self, host: DiffHost, comparing: Comparing, planes: PlanePanes) -> None:
        self._host = host
        self._comparing = comparing
        self._planes = planes
        self.text = DiffText()
        self.short = Static(id="diff-short")
        self.surveyed: Surveyed | None = None
        self.noise: NoiseReport | None = None
        self.target = SiteTarget()
        """What is to be on view."""
        self.view = SiteView(SiteTarget())
        """What was read last."""
        self._to_worst = False
        self._reading: SiteTarget | None = None

    @property
    def handlers(self) -> Mapping[str, Callable[[], None]]:
        return {
            "diff_worst": self.worst,
            "diff_scale": lambda: self.want(replace(self.target, own_scale=not self.target.own_scale)),
            "scores": self.next_plane,
            "next_head": partial(self.head, 1),
            "previous_head": partial(self.head, -1),
            "next_row": partial(self.row, 1),
            "previous_row": partial(self.row, -1),
        }

    def choose(self, node: Node) -> None:
        """A line of the tree."""
        if self.surveyed is None:
            return
        if node.site:
            if node.site != self.target.site:
                self.want(replace(self.target, site=node.site), to_worst=True)
            return
        self.target = replace(self.target, site="")
        self._host.tell_in_words(True)
        self.tell_group(node)

    def tell_group(self, node: Node) -> None:
        """The overview, or a group that has no values of its own."""
        assert self.surveyed
        report, names = self.surveyed.survey.report, self._comparing.names
        if node.path:
            words = "A group: choose a site inside it (Enter unfolds)."
            self.text.show(partial(group_lines, node))
        else:
            words = "Choose a site in the tree; f goes to the first divergence."
            self.text.show(lambda width: list(diff_lines(report, names, True, width, self.noise)))
        self._planes.show(words, self.target, (0, 0), (nothing(words),) * 3)

    def look_for_maps(self) -> None:
        """Have the site read again where its heatmaps are in sight and not drawn."""
        if self.target.site and self._host.draws and not self.target.drawn:
            self.want(self.target)

    def want(self, target: SiteTarget, to_worst: bool = False) -> None:
        """Have something read; while something else is, the newest wish waits."""
        self._host.tell_in_words(False)
        self.target = replace(target, drawn=self._host.draws)
        self._to_worst = to_worst or self._to_worst
        if self._reading is None:
            self._read()

    def _read(self) -> None:
        if self.surveyed is None or not self.target.site:
            return
        self._reading = self.target
        work = partial(read_site, self.surveyed.survey, self.target, self.view, self._to_worst)
        then = partial(self._show, self.target, self._to_worst)
        self._to_worst = False
        self._host.read("site", work, then)

    def _show(self, asked: SiteTarget, at_worst: bool, view: SiteView) -> None:
        self._reading = None
        if asked != self.target:
            # Something else was chosen meanwhile: what is at hand of the same site is of use to it.
            self.view = view
            self._to_worst = self._to_worst or asked.site != self.target.site
            self._read()
            return
        fresh = view.wanted.site != self.view.wanted.site or self.text.idle
        self.view, self.target = view, view.wanted
        if fresh or view.problem:
            self.show_text()
        cell = view.cell if at_worst else self._planes.grid.cell
        self._planes.show(view.problem or view.planes, self.target, cell, view.pictures)

    def show_text(self) -> None:
        """What was found, in words."""
        assert self.surveyed
        view = self.view
        self._show_short()
        report = self.surveyed.survey.report
        lay = partial(site_lines, report, view.wanted.site, view.finding, view.alone, view.problem)
        noise = self.noise.of(view.wanted.site) if self.noise else None
        beside = statistics_lines(*view.statistics) if any(view.statistics) else []
        self.text.show(lambda width: [*lay(width), *noise_entry(noise, width)], beside)

    def _show_short(self) -> None:
        finding = self.view.finding
        summary, looks = short_lines(finding) if finding and not self.view.problem else ("on one side only", "")
        quiet = finding is None or finding.site.outcome is Outcome.SAME
        lines = [(visible(summary), "$quiet" if quiet else "bold $foreground")]
        if looks:
            lines.append((f"\n{visible(looks)}", "bold $waiting"))
        self.short.update(Content.assemble(*lines))

    def worst(self) -> None:
        """To the element that is furthest apart."""
        if self.target.site:
            self.want(replace(self.target, plane=TENSOR), to_worst=True)

    def next_plane(self) -> None:
        """The tensor, or one of its attention's matrices."""
        after = PLANES[(PLANES.index(self.target.plane) + 1) % len(PLANES)]
        self.want(replace(self.target, plane=after))

    def head(self, by: int) -> None:
        planes = self.view.planes
        heads = planes.heads if isinstance(planes, Planes) else 0
        if not heads:
            self._host.tell("this has no heads")
            return
        self.want(replace(self.target, head=max(0, min(heads - 1, self.target.head + by))))

    def row(self, by: int) -> None:
        """Another prompt of a batch."""
        rows = len(self._comparing.a.tokens or self._comparing.b.tokens)
        if rows < 2:
            self._host.tell("there is one prompt")
            return
        self.want(replace(self.target, batch=max(0, min(rows - 1, self.target.batch + by))))
