"""Two traces compared, as Python code asks for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from tracetui.analysis.diff.report import Report, report
from tracetui.analysis.diff.result import SiteDiff
from tracetui.analysis.diff.rounding.tolerance import Limits
from tracetui.analysis.mapping.rules import Rules, read_rules
from tracetui.api.opening import Traceable, recorded
from tracetui.errors import InputError
from tracetui.text import visible
from tracetui.views.diff.format import WIDTH
from tracetui.views.diff.report import diff_lines, verdict
from tracetui.views.diff.site import first_lines


class Diff:
    """What a comparison found; `str()` is what `tracetui diff` prints."""

    def __init__(self, report: Report, names: tuple[str, str]) -> None:
        self.report = report
        """All of it: the comparison, what fed the first divergence, what it looks like, routing."""
        self._names = names

    def __str__(self) -> str:
        return "\n".join(diff_lines(self.report, self._names))

    def __repr__(self) -> str:
        return f"<Diff: {self.verdict}>"

    @property
    def same(self) -> bool:
        """Whether something was compared, and nothing that both sides have differs."""
        return self.report.comparison.same

    @property
    def verdict(self) -> str:
        """One sentence: are they the same, and if not, where the fault is."""
        return verdict(self.report)

    @property
    def first(self) -> SiteDiff | None:
        """The first divergence."""
        return self.report.first

    @property
    def sites(self) -> Sequence[SiteDiff]:
        """All sites that were compared, in order of execution."""
        return self.report.comparison.sites

    @property
    def explained(self) -> str:
        """The first divergence and the verdict; where no numbers differ, all that there is to say."""
        if self.report.first is None:
            return str(self)
        return "\n".join((*first_lines(self.report, WIDTH), "", self.verdict))


def diff(
    a: Traceable,
    b: Traceable,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    map: str | Path | None = None,  # noqa: A002
    fuzzy: bool = False,
) -> Diff:
    """Compare two traces, files, or dicts of arrays; B is the reference.

    rtol, atol: an element is off beyond atol + rtol·|b|; by default by dtype. map: a TOML file with names of your own.
    fuzzy: take names for the same that shape and order propose. Raises InputError.
    """
    limits = Limits(_limit("rtol", rtol), _limit("atol", atol))
    rules = Rules() if map is None else read_rules(Path(map))
    return Diff(report(recorded(a), recorded(b), rules, limits, fuzzy), (_name(a), _name(b)))


def _limit(name: str, limit: float | None) -> float | None:
    if limit is not None and not (math.isfinite(limit) and limit >= 0):
        raise InputError(f"{name}: must be a number from 0 on, got {limit}")
    return limit


def _name(traceable: Traceable) -> str:
    if isinstance(traceable, str | Path):
        return str(traceable)
    return visible(repr(traceable), WIDTH) if not isinstance(traceable, dict) else f"{len(traceable)} arrays"
