"""The parts of the diff's screen without one: from difference to difference, and what a site is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import TypeVar

import pytest

from tests.ui.comparing import FAULT, faulty, reference
from tracetui.analysis.diff.report import report
from tracetui.analysis.diff.survey import survey
from tracetui.analysis.diff.tree import tree_of, ways_of
from tracetui.debugger.readings.diff import SiteTarget
from tracetui.ui.diff_screen.differences import Differences
from tracetui.ui.diff_screen.screen import DiffScreen
from tracetui.ui.diff_screen.sites import SiteReader
from tracetui.ui.diff_screen.work import Comparing, Surveyed

Value = TypeVar("Value")


class FakeDiffHost:
    """Notes what it is told, and what it is asked to read."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.groups: list[str] = []
        self.draws = False
        self.words = False

    def read(self, group: str, work: Callable[[], Value], then: Callable[[Value], object]) -> None:
        self.groups.append(group)

    def tell(self, text: str, error: bool = False) -> None:
        self.texts.append(text)

    def tell_in_words(self, words: bool) -> None:
        self.words = words


class DiffParts:
    """Two runs of the numpy llama, one with a fault, compared."""

    def __init__(self, same: bool = False) -> None:
        trace = reference()
        self.comparing = Comparing(trace if same else faulty(trace), trace, ("A", "B"))
        self.host = FakeDiffHost()
        self.sites = SiteReader(self.host, self.comparing, DiffScreen(self.comparing, {}).planes)
        self.differences = Differences(self.host, self.comparing, self.sites, Event())
        both = survey(report(self.comparing.a, self.comparing.b, self.comparing.rules, self.comparing.limits))
        top = tree_of(both)
        self.sites.surveyed = Surveyed(both, top, dict(ways_of(top)), False)


@pytest.fixture
def parts() -> DiffParts:
    return DiffParts()


def test_one_goes_from_difference_to_difference_and_hears_where_there_is_no_further_one(
    parts: DiffParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    went: list[str] = []
    monkeypatch.setattr(parts.differences.tree, "go", went.append)
    keys = parts.differences.handlers
    keys["diff_first"]()
    parts.sites.target = SiteTarget(FAULT)
    keys["diff_next"]()
    assert went[0] == FAULT
    assert went[1] != FAULT
    keys["diff_previous"]()
    assert parts.host.texts == ["no differing site before this"]
    keys["diff_overview"]()
    assert went[2] == ""


def test_where_nothing_differs_that_is_said() -> None:
    parts = DiffParts(same=True)
    parts.differences.first()
    parts.differences.handlers["diff_next"]()
    assert parts.host.texts == ["nothing differs", "there is no differing site"]


def test_noise_needs_a_model_to_run_again(parts: DiffParts) -> None:
    parts.differences.measure_noise()
    assert "noise needs the model" in parts.host.texts[0]
    assert parts.host.groups == []


def test_while_a_site_is_read_the_newest_wish_waits(parts: DiffParts) -> None:
    parts.sites.want(SiteTarget(FAULT))
    parts.sites.want(replace(parts.sites.target, site="model.norm"))
    assert parts.host.groups == ["site"]
    assert parts.sites.target.site == "model.norm"
    parts.sites.head(1)
    assert parts.host.texts == ["this has no heads"]
