"""The columns of the module tree: as many as there is room for, each under its name."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tracetui.analysis.module_numbers import ModuleNumbers, SortBy
from tracetui.views.module_columns import NAME, cells_of, heading, run_cells, run_columns, three_digits, trend_cells

NUMBERS = ModuleNumbers(3, 12.345, 2.5, 0, 0, 0.0012, np.array([1.0, 2.0, 4.0]))


@pytest.mark.parametrize("room", [20, 28, 34, 58, 90, 198])
@pytest.mark.parametrize("by", list(SortBy))
def test_columns_leave_the_name_its_room_and_stand_under_theirs(room: int, by: SortBy) -> None:
    columns = run_columns(room, by)
    name, behind = cells_of(room, columns)
    texts = [text for text, _ in run_cells(NUMBERS, columns)]
    assert name >= min(NAME, room)
    assert name + behind + sum(map(len, texts)) == room
    assert [len(text) for text in texts] == [column.cells for column in columns]
    assert len(heading(columns, by, "tokens")) == sum(map(len, texts))
    if room >= 28 and by is not SortBy.TREE:
        assert f"▾{by}" in heading(columns, by, "tokens")


def test_a_module_without_numbers_leaves_its_cells_blank() -> None:
    columns = run_columns(40, SortBy.TREE)
    assert "".join(text for text, _ in run_cells(None, columns)).strip() == ""


def test_nan_stands_in_place_of_the_norm_where_there_is_no_column_for_it() -> None:
    broken = ModuleNumbers(3, 1.0, math.nan, 12, 0, None)
    narrow, wide = run_columns(30, SortBy.TREE), run_columns(90, SortBy.TREE)
    assert run_cells(broken, narrow)[0] == ("  12 NaN", True)
    cells = run_cells(broken, wide)
    assert [text.strip() for text, _ in cells] == ["1.00", "", "12 NaN", "", ""]
    assert [alarm for _, alarm in cells] == [False, False, True, False, False]


def test_numbers_have_three_digits_and_little_room() -> None:
    assert [three_digits(value) for value in (0, 0.012, 1.1, 12, 99.96, 1234.4, 12345, 1.5e-7, 2.5e120)] == [
        "0", "0.0120", "1.10", "12.0", "100", "1234", "1.2e4", "1.5e-7", "2.5e120",
    ]  # fmt: skip


def test_a_trend_is_as_wide_as_it_may_be_and_loses_no_peak() -> None:
    assert trend_cells(np.array([1.0, 8.0]), 8) == "▁█"
    norms = np.ones(1000)
    norms[503] = 50.0
    assert trend_cells(norms, 8) == "▁▁▁▁█▁▁▁"
    assert trend_cells(np.array([1.0, np.nan, 2.0]), 8) == "▁×█"
    assert trend_cells(None, 8) == ""
