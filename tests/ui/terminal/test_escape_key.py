"""Esc and what is typed behind it, however the bytes arrive."""

from __future__ import annotations

import pytest

from tracetui.ui.terminal.escape_key import ESCAPE, EscapeKey


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ("\x1bn", [ESCAPE, "n"]),
        ("ab\x1bnss", ["ab", ESCAPE, "nss"]),
        ("\x1b/mlp\r", [ESCAPE, "/mlp\r"]),
        ("\x1b1", [ESCAPE, "1"]),
        ("\x1b[A\x1bOP\x1b[97;5u", ["\x1b[A\x1bOP\x1b[97;5u"]),
        ("\x1b\x1b[A", ["\x1b\x1b[A"]),
        ("\x1b\x7f", ["\x1b\x7f"]),
        ("\x1bb", ["\x1bb"]),  # what terminals send for a word to the left
        ("\x1b[200~a\x1bn\x1b[201~\x1bn", ["\x1b[200~a\x1bn\x1b[201~", ESCAPE, "n"]),
    ],
)
def test_a_letter_behind_esc_is_a_key_of_its_own(typed: str, parts: list[str]) -> None:
    assert list(EscapeKey().parts(typed)) == parts


def test_a_byte_at_the_end_waits_for_what_follows_it() -> None:
    key = EscapeKey()
    assert list(key.parts("a\x1b")) == ["a"]
    assert list(key.parts("[A")) == ["\x1b[A"]
    assert list(key.parts("\x1b")) == []
    assert key.rest() == ESCAPE
    assert key.rest() == ""
    assert list(key.parts("\x1b")) == []
    assert list(key.parts("n")) == [ESCAPE, "n"]


def test_a_paste_in_pieces_is_left_alone() -> None:
    key = EscapeKey()
    pieces = ["\x1b[200~a\x1bn", "b\x1bm\x1b[2", "01~\x1bn"]
    assert [part for piece in pieces for part in key.parts(piece)] == [
        "\x1b[200~a\x1bn",
        "b\x1bm\x1b[2",
        "01~",
        ESCAPE,
        "n",
    ]
