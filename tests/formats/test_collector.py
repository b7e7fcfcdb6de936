"""The collector rests while much is read or imported, and is as it was afterwards."""

from __future__ import annotations

import gc

from tracetui.formats.collector import collector_paused, collector_paused_for_good


def test_it_rests_and_goes_on() -> None:
    with collector_paused(), collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_imported_is_walked_no_more() -> None:
    before = gc.get_freeze_count()
    with collector_paused_for_good():
        made = [[] for _ in range(1000)]  # type: list[list[int]]
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before + len(made)
