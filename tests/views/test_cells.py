"""Text fits its cells exactly, whatever it is made of."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from tests.views.drawn import ANY_TEXT, plain
from tracetui.text import visible
from tracetui.views.cells import bar, column, fit, line, runs


@given(ANY_TEXT, st.integers(0, 30), st.booleans())
def test_fitted_text_takes_exactly_its_width(foreign: str, width: int, right: bool) -> None:
    assert cell_len(fit(foreign, width, right=right)) == width


@given(ANY_TEXT, st.booleans())
def test_text_with_room_is_kept_whole_and_padded_on_one_side(foreign: str, right: bool) -> None:
    whole = fit(foreign, 400)
    assert visible(foreign) in whole
    assert fit(foreign, cell_len(whole.rstrip()) + 3, right=right).strip() == whole.strip()
    if visible(foreign).strip():
        assert fit(foreign, 400, right=right)[0 if right else -1] == " "


@given(st.text("ab한\u0301", min_size=30, max_size=60), st.integers(1, 14))
def test_cut_text_keeps_its_start_and_says_so(foreign: str, width: int) -> None:
    if cell_len(foreign) > width:
        shown = fit(foreign, width).rstrip()
        assert shown.endswith("…")
        assert fit(foreign, 400).startswith(shown[:-1])


def test_a_leading_mark_stands_on_a_circle() -> None:
    assert fit("\u0301a", 3) == "◌\u0301a "


@given(st.lists(st.tuples(ANY_TEXT.map(visible), st.just(Style(bold=True))), max_size=5), st.integers(0, 30))
def test_a_line_takes_exactly_its_width(parts: list[tuple[str, Style]], width: int) -> None:
    assert Segment.get_line_length(line(parts, width)) == width


@given(st.text("ab", max_size=9))
def test_runs_join_what_has_one_style(text: str) -> None:
    styles = {"a": Style(bold=True), "b": Style(dim=True)}
    segments = runs(text, [styles[char] for char in text])
    assert plain([segments]) == [text]
    assert all(len(set(segment.text)) == 1 for segment in segments)
    assert all(one.style is not two.style for one, two in pairwise(segments))


@given(st.floats(allow_nan=True), st.integers(-1, 20))
def test_a_bar_grows_with_its_share_and_never_beyond_its_width(fraction: float, width: int) -> None:
    filled = bar(fraction, width)
    assert len(filled) <= max(width, 0)
    assert bool(filled) == (fraction > 0 and width > 0)
    if fraction >= 1 and width > 0:
        assert filled == "█" * width


def test_bars_have_eighths() -> None:
    assert [bar(eighths / 16, 2) for eighths in range(1, 5)] == ["▏", "▎", "▍", "▌"]
    assert bar(9 / 16, 2) == "█▏"


@given(st.integers(0, 40))
def test_the_rows_of_a_column_add_up_to_its_height(eighths: int) -> None:
    heights = " ▁▂▃▄▅▆▇█"
    assert sum(heights.index(column(eighths, row)) for row in range(5)) == eighths
