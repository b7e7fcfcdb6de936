"""The next-token table: exact widths, true bars, figures that don't lie at the ends."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.views.drawn import ANY_TEXT, INKS, plain, styles_at, styles_of, widths
from tracetui.analysis.prediction import Prediction
from tracetui.recording.record import Token
from tracetui.views.charts.bars import gauge, percent, prediction_lines

PREDICTIONS = st.lists(
    st.builds(
        Prediction,
        st.builds(
            Token,
            st.integers(0, 200_000),
            st.binary(max_size=20) | ANY_TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")),
            st.booleans(),
        ),
        st.floats(0, 1) | st.just(float("nan")),
        st.floats(),
    ),
    max_size=12,
)


def candidate(text: str, probability: float, special: bool = False) -> Prediction:
    return Prediction(Token(4711, text.encode(), special), probability, 12.3456)


@given(PREDICTIONS, st.integers(0, 90), st.integers(0, 14), st.integers(0, 3), st.none() | st.integers(0, 12))
def test_the_table_fills_exactly_its_place(
    predictions: list[Prediction], width: int, height: int, first: int, cursor: int | None
) -> None:
    lines = prediction_lines(predictions, width, height, INKS, first=first, cursor=cursor)
    assert len(lines) == height
    assert widths(lines) <= {width}


def test_a_row_names_rank_token_share_logit_and_id() -> None:
    header, row, rest = plain(prediction_lines([candidate(" Paris", 0.625)], 80, 3, INKS))
    assert header.split() == ["#", "token", "linear,", "0", "to", "62.50%", "%", "logit", "id"]
    assert re.fullmatch(r" 1  ·Paris +█+[▏▎▍▌▋▊▉]? +62\.50% +12\.346 +4711", row)
    assert rest.strip() == ""


@given(st.integers(1, 120))
def test_token_and_share_outlive_every_other_column(width: int) -> None:
    row = plain(prediction_lines([candidate("Paris", 0.625)], width, 1, INKS))[0]
    shown = ["█" in row, "4711" in row, "12.346" in row]
    assert shown == sorted(shown)
    if width >= 22:
        assert "Paris" in row
        assert "62.50%" in row


@given(st.floats(0, 1), st.integers(1, 40))
def test_a_gauge_is_filled_by_its_share(fraction: float, width: int) -> None:
    (filled, filled_style), (rest, rest_style) = gauge(fraction, width, INKS)
    eighths = 8 * filled.count("█") + sum(" ▏▎▍▌▋▊▉".index(char) for char in filled if char != "█")
    assert len(filled + rest) == width
    assert abs(eighths - fraction * width * 8) <= 1
    assert filled_style.bgcolor == rest_style.bgcolor == INKS.track.bgcolor


def test_the_cursor_grounds_its_whole_row_but_the_gauge() -> None:
    lines = prediction_lines([candidate("a", 0.5), candidate("b", 0.25)], 60, 3, INKS, cursor=1)
    grounds = [style.bgcolor if style else None for style in styles_of(lines[2])]
    assert set(grounds) == {INKS.cursor.bgcolor, INKS.track.bgcolor}
    assert INKS.cursor.bgcolor not in [style.bgcolor for style in styles_of(lines[1]) if style]


def test_special_tokens_and_unknown_bytes_are_told_apart() -> None:
    special = prediction_lines([candidate("<s>", 0.5, special=True)], 60, 1, INKS)[0]
    assert styles_at(special, "<s>") == {INKS.special}
    nameless = Prediction(Token(17, b""), 0.5, 0.0)
    assert "#17" in plain(prediction_lines([nameless], 60, 1, INKS))[0]


def test_scrolling_keeps_the_ranks() -> None:
    rows = plain(prediction_lines([candidate(str(at), 0.1) for at in range(9)], 60, 4, INKS, first=5))
    assert [row.split()[0] for row in rows[1:]] == ["6", "7", "8"]


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (0.0, "0.00%"),
        (1e-9, "1.0e-7%"),
        (0.00005, "0.0050%"),
        (0.00057, "0.0570%"),
        (0.5, "50.00%"),
        (0.9999, "99.99%"),
        (0.999999, ">99.99%"),
        (1.0, "100.00%"),
        (float("nan"), "nan"),
    ],
)
def test_a_share_never_rounds_to_certainty(probability: float, shown: str) -> None:
    assert percent(probability) == shown


@given(st.floats(0, 1))
def test_a_share_fits_seven_cells(probability: float) -> None:
    assert len(percent(probability)) <= 7
    assert (percent(probability) == "100.00%") == (probability == 1)
    assert (percent(probability) == "0.00%") == (probability == 0)
