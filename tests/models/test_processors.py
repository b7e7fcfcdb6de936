"""How many processors there are is known on every system."""

from __future__ import annotations

import os

import pytest

from tracetui.models.processors import processor_count


def test_those_the_process_is_allowed_on_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 5}, raising=False)
    assert processor_count() == 3


@pytest.mark.parametrize(("processors", "count"), [(6, 6), (None, 1)])
def test_where_nobody_tells_that_the_machines_count(
    processors: int | None, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert processor_count() == count
