"""How far it is from a module's return to its record, in calls and modules: what may not become worse."""

from __future__ import annotations

import pytest

from tests.benchmarks.hook_path import MOST_CALLS, MOST_MODULES, hook_calls


@pytest.mark.parametrize("later", [True, False])
def test_the_way_from_a_return_to_its_record_stays_short(later: bool) -> None:
    calls = hook_calls(later)
    assert 0 < len(calls) <= MOST_CALLS, calls
    assert len({file for file, _ in calls}) <= MOST_MODULES, calls
