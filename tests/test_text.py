"""Foreign text on a terminal: nothing hidden, nothing that acts."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetui.recipe import parse_bytes
from tracetui.text import about_size, count, number, size, token_text, typed_size, visible

anything = st.text(st.characters())
"""Lone surrogates included."""


def assert_harmless(shown: str) -> None:
    categories = {unicodedata.category(char) for char in shown}
    assert not categories & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert shown.encode("utf-8").decode("utf-8") == shown


@given(foreign=anything)
def test_nothing_that_a_terminal_acts_on_remains(foreign: str) -> None:
    assert_harmless(visible(foreign))


@given(foreign=anything)
def test_what_is_visible_stays_as_it_is(foreign: str) -> None:
    assert visible(visible(foreign), 10_000) == visible(foreign)


@given(plain=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_text_is_untouched(plain: str) -> None:
    assert visible(plain) == plain


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("a\nb\tc\r", "a⏎b⇥c␍"),
        ("\x1b[2J\x07\0\x7f", "␛[2J␇␀␡"),
        ("\x9b31m", "<U+009B>31m"),
        ("\u202eevil\u2066", "<U+202E>evil<U+2066>"),
        ("zero\u200bwidth\ufeff", "zero<U+200B>width<U+FEFF>"),
        ("\ud800", "<U+D800>"),
        ("\u2028", "<U+2028>"),
        ("naïve 日本 😀", "naïve 日本 😀"),
    ],
)
def test_each_hidden_kind_has_its_symbol(foreign: str, shown: str) -> None:
    assert visible(foreign) == shown


def test_long_text_is_cut_and_says_so() -> None:
    assert visible("x" * 401) == "x" * 400 + "…"
    assert visible("x" * 400) == "x" * 400
    assert visible("abcdef", limit=3) == "abc…"


def test_a_heap_of_marks_is_cut_down() -> None:
    tall = "a" + "\u0301" * 50 + "b"
    assert visible(tall) == "a" + "\u0301" * 4 + "b"
    assert token_text(tall.encode()) == "a" + "\u0301" * 4 + "b"


@given(token=st.binary(max_size=40))
def test_any_bytes_of_a_token_are_shown_harmlessly(token: bytes) -> None:
    shown = token_text(token)
    assert_harmless(shown)
    assert " " not in shown


@given(text=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)))
def test_the_plain_text_of_a_token_is_untouched(text: str) -> None:
    assert token_text(text.encode()) == text


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (b" the", "·the"),
        (b"\n\n", "⏎⏎"),
        (b"\xe2\x82", "<0xE2><0x82>"),
        ("€".encode(), "€"),
        (b"a\xffb", "a<0xFF>b"),
        (b"\xed\xa0\x80", "<0xED><0xA0><0x80>"),
        (b"\x1b[0m", "␛[0m"),
        (b"", ""),
    ],
)
def test_tokens_show_their_exact_bytes(token: bytes, shown: str) -> None:
    assert token_text(token) == shown


def test_numbers_are_short() -> None:
    assert [count(n) for n in (0, 999, 128_256, 8_030_261_248, -2_500_000)] == ["0", "999", "128.3K", "8.03B", "-2.5M"]
    assert [size(n) for n in (0, 1023, 1024, 3 << 30)] == ["0 B", "1023 B", "1.00 KiB", "3.00 GiB"]
    assert number(0.123456) == "0.1235"


@given(value=st.floats(width=32))
def test_a_number_takes_ten_cells_at_most(value: float) -> None:
    assert len(number(value)) <= 10


@given(st.integers(0, 2**45))
def test_a_size_to_be_typed_is_one_that_options_take(byte_count: int) -> None:
    taken = parse_bytes(typed_size(byte_count), "--memory")
    assert taken <= byte_count <= max(1024, taken * 1.11)


def test_amounts_known_in_about_have_three_digits() -> None:
    sizes = [about_size(amount) for amount in (0, 900, 358.23 * 2**20, 2.187 * 2**30, 16.66 * 2**30)]
    assert sizes == ["0 B", "900 B", "358 MiB", "2.19 GiB", "16.7 GiB"]
