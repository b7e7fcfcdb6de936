"""Values of both sides and their difference beside each other."""

from __future__ import annotations

import numpy as np

from tests.views.drawn import INKS, plain, widths
from tracetui.views.diff.values import Triple, columns_beside, triple_table
from tracetui.views.values import ValueWindow

WIDTH = 130
LABELS = ("The", "·capital")


def table(columns: int) -> list[str]:
    b = np.linspace(-40, 40, 2 * columns, dtype=np.float32).reshape(2, columns)
    a = b + np.linspace(0.0421, 0.213, 2 * columns, dtype=np.float32).reshape(2, columns)
    sides = (ValueWindow(array, shape=(2, 576), row_labels=LABELS, scale=40.0) for array in (a, b, a - b))
    one, two, three = sides
    lines = triple_table(Triple((one, two, three), (0, 0)), WIDTH, 5, INKS)
    assert widths(lines) == {WIDTH}
    return plain(lines)


def test_all_columns_that_are_said_to_fit_are_shown_in_each_table() -> None:
    columns = columns_beside(WIDTH, (2, 576), LABELS, 0, "float32")
    assert columns == 4
    heads = table(columns)[1].replace("›", "").split()
    assert heads == [str(column) for column in range(columns)] * 3
    assert columns_beside(WIDTH, (2, 576), LABELS, 0, "int64") == 3


def test_a_difference_has_the_decimals_of_its_own_size() -> None:
    differences = [number for row in table(3)[2:4] for number in row.split()[-3:]]
    assert {len(number.split(".")[1]) for number in differences} == {4}
