"""The collector rests while much is read or imported, and is as it was afterwards."""

from __future__ import annotations

import gc
import sys
from types import ModuleType

import pytest

from tracetui.formats.collector import collector_paused, collector_paused_for_good


def test_it_rests_and_goes_on() -> None:
    with collector_paused(), collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_imported_is_walked_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    before = gc.get_freeze_count()
    with collector_paused_for_good():
        monkeypatch.setitem(sys.modules, "imported_just_now", ModuleType("imported_just_now"))
        made = [[] for _ in range(1000)]  # type: list[list[int]]
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before + len(made)


def test_where_nothing_was_imported_what_lives_may_go_one_day() -> None:
    before = gc.get_freeze_count()
    with collector_paused_for_good():
        pass
    assert gc.get_freeze_count() <= before
