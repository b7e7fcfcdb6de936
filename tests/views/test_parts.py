"""Parts by priority: what is shown fits, and what matters stays whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tracetui.analysis.identity import Identity
from tracetui.views.parts import LinePart, fitted, part
from tracetui.views.verdict import verdict_parts

FORMS = st.lists(st.text("ab ", max_size=9), min_size=1, max_size=3)
PARTS = st.lists(st.builds(lambda forms, rank: part(*forms, rank=rank), FORMS, st.integers(0, 4)))


@given(PARTS, st.integers(0, 60))
def test_the_line_never_takes_more_than_its_room(parts: list[LinePart], width: int) -> None:
    texts = fitted(parts, width)
    assert len(texts) == len(parts)
    assert sum(map(cell_len, texts)) <= width
    assert not any(texts) or all(text in each.forms for text, each in zip(texts, parts, strict=True))


def test_words_go_before_numbers() -> None:
    found = Identity(6.5e-10, 1.2e-7, holds=True)
    lines = ["".join(fitted(verdict_parts(("sum = output",), found), width)) for width in (60, 36, 30, 20, 11, 3)]
    assert lines[0] == " ✓ sum = output: max |Δ| 6.5e-10 ≤ 1.2e-07"
    assert all("6.5e-10" in line for line in lines[:-1])
    assert lines[-1] == ""
