"""The cuts in long texts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetui.models.tokenizers import pieces as module
from tracetui.models.tokenizers.pieces import MAX_CHARS, MAX_RUN, pieces


@pytest.fixture(scope="module", autouse=True)
def short_limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_CHARS", 12)
        patch.setattr(module, "MAX_RUN", 4)
        yield


@given(text=st.text(st.sampled_from("ab \n\u00a0火"), max_size=60))
def test_pieces_are_the_text_within_the_limits(text: str) -> None:
    cut = list(pieces(text))
    assert "".join(cut) == text
    assert all(len(piece) <= 12 for piece in cut)
    assert all(len(run) <= 4 for piece in cut for run in re.findall(r"\s+|\S+", piece))


@given(words=st.lists(st.text("ab", min_size=1, max_size=4), max_size=2))
def test_a_text_within_the_limits_stays_whole(words: list[str]) -> None:
    text = " ".join(words)
    assert [piece for piece in pieces(text) if piece] == ([text] if text else [])


def test_limits_are_those_of_llama3() -> None:
    assert (MAX_CHARS, MAX_RUN) == (400_000, 25_000)
