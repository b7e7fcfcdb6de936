"""The film strip of a run as lines: the numbers, a size, and what comes out."""

from __future__ import annotations

import numpy as np
import pytest
from rich.cells import cell_len
from rich.style import Style

from tracetui.analysis.timeline.columns import Place, TimelineColumns
from tracetui.views.cells import Line
from tracetui.views.charts.timeline import Film, film_lines, gutter, heights, scale_of
from tracetui.views.inks import Inks


def columns(
    *norms: float, broken: tuple[int, ...] = (), layers: tuple[Place, ...] = (), passes: tuple[Place, ...] = ((0, 0),)
) -> TimelineColumns:
    bad = np.zeros(len(norms), bool)
    bad[list(broken)] = True
    return TimelineColumns(np.arange(len(norms) + 1), np.array(norms, np.float64), bad, layers, passes)


def texts(lines: list[Line]) -> list[str]:
    return ["".join(segment.text for segment in line) for line in lines]


def drawn(film: Film, width: int = 60, height: int = 2) -> list[str]:
    lines = texts(film_lines(film, width, height, Inks()))
    assert [cell_len(line) for line in lines] == [width] * height
    return [line[gutter(width) :].rstrip() for line in lines]


@pytest.mark.parametrize("size", [(28, 1), (60, 2), (80, 2), (120, 3), (200, 4)])
@pytest.mark.parametrize("count", [0, 1, 10])
def test_every_size_has_lines_of_its_width(size: tuple[int, int], count: int) -> None:
    film = Film(columns(*range(1, count + 1)), cursor=count - 1, norm=3.0, flags=[0][:count])
    drawn(film, *size)


def test_an_explosion_stands_out_and_its_layer_can_be_read() -> None:
    norms = [1.0] * 12 + [5000.0] + [1.0] * 5
    film = Film(columns(*norms, layers=((0, 0), (6, 1), (12, 2))), cursor=3, norm=1.0)
    bars, axis = drawn(film)
    assert bars == "▁" * 12 + "█" + "▁" * 5
    assert axis == "╵0 ▲  ╵1    ╵2"
    assert texts(film_lines(film, 60, 2, Inks()))[0].startswith(" norm log ")


def test_bars_that_differ_little_begin_at_zero_and_say_no_log() -> None:
    film = Film(columns(50.0, 100.0))
    assert drawn(film)[0] == "▄█" or drawn(film)[0] == "▅█"
    assert "log" not in texts(film_lines(film, 60, 2, Inks()))[0]


def test_nan_has_a_glyph_and_is_never_said_by_colour_alone() -> None:
    film = Film(columns(1.0, -np.inf, 2.0, broken=(1, 2)), made=[1])
    bars, axis = drawn(film)
    assert bars[1:] == "××"
    assert axis == " !"
    loud = Inks(nan=Style(bold=True, reverse=True))
    crosses = [segment for segment in film_lines(film, 60, 2, loud)[0] if "×" in segment.text]
    assert [segment.style.reverse for segment in crosses if segment.style] == [True, False], "loud where it begins"


def test_stops_are_flags_and_the_user_goes_before_them() -> None:
    film = Film(columns(*[1.0] * 6, layers=((1, 0),)), cursor=4, flags=[1, 4])
    assert drawn(film)[1] == " ⚑  ▲"


def test_alone_a_row_says_where_one_is() -> None:
    assert drawn(Film(columns(1.0, 1.0, 1.0), cursor=1), 28, 1) == ["█●█"]


def test_passes_are_told_by_words_as_far_as_there_is_room() -> None:
    passes = ((0, 0), (12, 1), (24, 2))
    assert drawn(Film(columns(*[1.0] * 36, passes=passes)))[1] == "┃pass 0     ┃pass 1     ┃pass 2"
    many = tuple((at, at // 2) for at in range(0, 40, 2))
    assert drawn(Film(columns(*[1.0] * 40, passes=many)))[1].startswith("┃0  ┃2  ┃4  ┃6  ┃8  ┃10 ┃12")


def test_labels_of_many_layers_leave_each_other_room() -> None:
    layers = tuple((at, at) for at in range(61))
    axis = drawn(Film(columns(*[1.0] * 61, layers=layers)), 80)[1]
    assert axis.split() == ["╵0", "╵5", "╵10", "╵15", "╵20", "╵25", "╵30", "╵35", "╵40", "╵45", "╵50", "╵55", "╵60"]


def test_what_is_far_below_the_largest_does_not_flatten_the_rest() -> None:
    scale = scale_of(np.array([1e-30, 1.0, 10.0, 100.0, 1e5]))
    assert scale.log
    shown = heights(np.array([1e-30, 1.0, 10.0, 100.0, 1e5, -np.inf]), scale, 1).tolist()
    assert shown == [*sorted(shown[:5]), 0]
    assert len(set(shown[:5])) == 5
