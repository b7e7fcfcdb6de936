"""What the tests of views share: inks that can be told apart, any text, and lines read back."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style

from tracetui.views.cells import Line
from tracetui.views.inks import Inks

INKS = Inks(
    text=Style(color="color(1)"),
    quiet=Style(color="color(2)"),
    rule=Style(color="color(3)"),
    bar=Style(color="color(4)"),
    track=Style(bgcolor="color(5)"),
    line=Style(color="color(6)"),
    cursor=Style(color="color(7)", bgcolor="color(8)"),
    mark=Style(color="color(9)"),
    positive=tuple(Style(color=f"color({number})") for number in (20, 21, 22, 23)),
    negative=tuple(Style(color=f"color({number})") for number in (30, 31, 32, 33)),
    zero=Style(color="color(10)"),
    nan=Style(color="color(11)"),
    inf=Style(color="color(12)"),
    special=Style(color="color(13)"),
)
ANY_TEXT = st.text(st.characters() | st.sampled_from("한日ａe\u0301\u0e47\u093e\u200d❤\ufe0f👩"), max_size=30)


def plain(lines: Sequence[Line]) -> list[str]:
    return ["".join(segment.text for segment in line) for line in lines]


def widths(lines: Sequence[Line]) -> set[int]:
    return {Segment.get_line_length(line) for line in lines}


def styles_of(line: Line) -> list[Style | None]:
    """The style of every character of a line."""
    return [segment.style for segment in line for _ in segment.text]


def styles_at(line: Line, text: str) -> set[Style | None]:
    """The styles under the first place where `text` stands in a line."""
    start = plain([line])[0].index(text)
    return set(styles_of(line)[start : start + len(text)])
