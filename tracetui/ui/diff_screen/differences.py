"""From one difference to the next, and whether a difference is more than rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from threading import Event

from tracetui.analysis.diff.rounding.noise import NoiseReport
from tracetui.analysis.diff.survey import Survey
from tracetui.errors import TracetuiError
from tracetui.ui.diff_screen.sites import DiffHost, SiteReader
from tracetui.ui.diff_screen.tree import OVERVIEW, DiffTree
from tracetui.ui.diff_screen.work import Comparing, LeftError, noise_of
from tracetui.views.diff.noise import noise_verdict


class Differences:
    """Goes by lines of the tree, in order of execution."""

    def __init__(self, host: DiffHost, comparing: Comparing, sites: SiteReader, left: Event) -> None:
        """left: set once the user has left."""
        self._host = host
        self._comparing = comparing
        self._sites = sites
        self._left = left
        self._rerunning = False
        self.tree = DiffTree()

    @property
    def handlers(self) -> Mapping[str, Callable[[], None]]:
        return {
            "diff_first": self.first,
            "diff_overview": self.overview,
            "diff_next": partial(self._apart, 1),
            "diff_previous": partial(self._apart, -1),
            "diff_clue": partial(self._clue, 1),
            "diff_clue_back": partial(self._clue, -1),
            "diff_noise": self.measure_noise,
        }

    @property
    def _survey(self) -> Survey | None:
        return self._sites.surveyed.survey if self._sites.surveyed else None

    def first(self) -> None:
        first = self._survey.report.first if self._survey else None
        self._go_to(first.site if first else "", "nothing differs")

    def overview(self) -> None:
        if self._survey:
            self.tree.go("")

    def _apart(self, by: int) -> None:
        self._step(self._survey.apart if self._survey else (), by, "differing site")

    def _clue(self, by: int) -> None:
        self._step(self._survey.clues if self._survey else (), by, "hint or routing change")

    def _step(self, stops: tuple[str, ...], by: int, what: str) -> None:
        """To the next of some sites in order of execution, or the one before."""
        if self._survey is None:
            return
        if not stops:
            self._go_to("", f"there is no {what}")
            return
        places = self._survey.places
        here = places.get(self._sites.target.site, -1 if by > 0 else len(places))
        ahead = [site for site in stops if (places[site] > here if by > 0 else places[site] < here)]
        self._go_to(
            (ahead[0] if by > 0 else ahead[-1]) if ahead else "", f"no {what} {'after' if by > 0 else 'before'} this"
        )

    def _go_to(self, site: str, otherwise: str) -> None:
        if self._survey is None:
            return
        if site:
            self.tree.go(site)
        else:
            self._host.tell(otherwise)

    def measure_noise(self) -> None:
        """Have one side run again in float64; what comes of it is told once it is there."""
        if self._comparing.rerun is None or self._survey is None:
            self._host.tell("noise needs the model: `tracetui diff A B --tui` runs it again, where torch is installed")
        elif self._rerunning:
            self._host.tell("one side is being run again in float64")
        else:
            self._rerunning = True
            self._host.tell("one side is run again in float64; what it says will be told here")
            self._host.read("noise", partial(_noise, self._comparing, self._survey, self._left), self._show_noise)

    def _show_noise(self, noise: NoiseReport | str) -> None:
        """The differences in units of rounding noise, or in words why not."""
        self._rerunning = False
        if isinstance(noise, str):
            self._host.tell(noise, error=True)
            return
        self._sites.noise = noise
        self._host.tell(noise_verdict(noise))
        suspects = tuple(suspect.site.site for suspect in noise.suspects)
        if suspects and suspects[0] != self._sites.target.site:
            self._go_to(suspects[0], "")
        elif self._sites.target.site and not self._sites.view.problem:
            self._sites.show_text()
        else:
            self._sites.tell_group(OVERVIEW)


def _noise(comparing: Comparing, survey: Survey, left: Event) -> NoiseReport | str:
    try:
        return noise_of(comparing, survey, left)
    except LeftError:
        return "given up"
    except (TracetuiError, OSError, MemoryError, ImportError) as error:
        return str(error) or type(error).__name__
