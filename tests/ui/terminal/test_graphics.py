"""What terminals answer about pictures, in one piece, in many, and not at all."""

from __future__ import annotations

import pytest

from tracetui.ui.terminal.graphics import Graphics, TerminalAnswers
from tracetui.views.pixels.protocol import PixelSize, Protocol

KITTY, CELL = "\x1b_Gi=31;OK\x1b\\", "\x1b[6;18;9t"
PLAIN, SIXEL = "\x1b[?62;22c", "\x1b[?62;4;22c"
SIZE = PixelSize(9, 18)


def asked(environ: dict[str, str] | None = None, pixels: tuple[int, int] = (0, 0)) -> TerminalAnswers:
    answers = TerminalAnswers({"TERM": "xterm-256color", **(environ or {})}, pixels)
    answers.begin()
    return answers


def told(answers: TerminalAnswers, text: str) -> tuple[str, list[Graphics | None]]:
    left, known = answers.taken_out(text)
    return left, [message.graphics for message in known]


@pytest.mark.parametrize(
    ("environ", "answer", "shows"),
    [
        ({}, KITTY + CELL + PLAIN, Graphics(Protocol.KITTY, SIZE)),
        ({}, CELL + SIXEL, Graphics(Protocol.SIXEL, SIZE)),
        ({"TERM_PROGRAM": "iTerm.app"}, CELL + SIXEL, Graphics(Protocol.ITERM, SIZE)),
        ({}, KITTY + PLAIN, Graphics(Protocol.KITTY, PixelSize(10, 20))),
        ({}, SIXEL, None),  # how large its pixels are nobody knows
        ({}, CELL + PLAIN, None),
        ({}, "\x1b_Gi=31;ENOTSUPPORTED:no\x1b\\" + CELL + PLAIN, None),
        ({}, "\x1b[6;9000;9000t" + SIXEL, None),
    ],
)
def test_an_answer_is_taken_out_of_what_is_typed(environ: dict[str, str], answer: str, shows: Graphics | None) -> None:
    assert told(asked(environ), f"ab{answer}c") == ("abc", [shows])
    whole = f"ab{answer}c"
    for cut in range(1, len(whole)):
        if whole[cut - 1] == "\x1b":
            continue  # the driver holds what may be the key Esc
        answers = asked(environ)
        parts = [told(answers, whole[:cut]), told(answers, whole[cut:])]
        assert "".join(left for left, _ in parts) == "abc"
        assert [each for _, known in parts for each in known] == [shows]


def test_the_windows_own_size_tells_how_large_a_cell_is() -> None:
    assert told(asked(pixels=(7, 14)), SIXEL) == ("", [Graphics(Protocol.SIXEL, PixelSize(7, 14))])


def test_inside_tmux_only_what_tmux_knows_is_asked_for() -> None:
    inside = asked({"TMUX": "/tmp/tmux-0/default,1,0", "TERM": "tmux-256color"})
    assert "_G" not in inside.query
    assert "\x1b[c" in inside.query
    assert told(inside, CELL + SIXEL)[1] == [Graphics(Protocol.SIXEL, SIZE)]
    for term in ("linux", "dumb", "screen.xterm-256color"):
        assert TerminalAnswers({"TERM": term}).query == ""


def test_keys_pass_as_they_are_and_late_answers_go_nowhere() -> None:
    answers = TerminalAnswers({"TERM": "xterm"})
    for typed in ("\x1b", "\x1b[A", "\x1b[6~", "\x1b[97;5u", "abc", "\x1b[?2026;2$y"):
        assert answers.taken_out(typed) == (typed, [])
    assert answers.taken_out(f"a{KITTY}{SIXEL}b") == ("ab", [])
