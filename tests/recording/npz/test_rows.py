"""Rows of tokens of different length: read back, and refused where the tensors have no place for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.recording.made import small_trace
from tracetui.errors import InputError
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.record import Record, Token
from tracetui.recording.trace import Trace
from tracetui.recording.value import ArrayValue

TOKENS = tuple(Token(place, b"t") for place in range(9))


def traced(*lengths: int, passes: int = 1) -> Trace:
    """Queries [3,H,4,K] of three rows, and one position more in every later pass."""
    shapes = [(3, 2, 4, 8), *[(3, 2, 1, 8)] * (passes - 1)]
    values = tuple(ArrayValue(np.ones(shape, np.float32)) for shape in shapes)
    records = tuple(
        Record(index, "layers.0.attn:q", value.shape, value.dtype, 1, pass_=index) for index, value in enumerate(values)
    )
    rows = tuple(TOKENS[:length] for length in lengths)
    return replace(small_trace(), tokens=rows, records=records, values=values, attention={})


@pytest.mark.parametrize("trace", [traced(4, 1, 3), traced(0, 4, 4), traced(), traced(6, 1, 3, passes=3)])
def test_rows_that_the_queries_have_a_place_for_come_back(trace: Trace, tmp_path: Path) -> None:
    write_trace(trace, tmp_path / "t.npz")
    assert read_trace(tmp_path / "t.npz").tokens == trace.tokens


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        (traced(4, 5, 3), r"tokens\[1\]: has more tokens than the 4 positions of the recorded queries, got 5"),
        (traced(4, 1, 7, passes=3), r"tokens\[2\]: has more tokens than the 6 positions"),
        (traced(4, 4), "tokens: must be 3 rows, as the recorded queries have, got 2"),
        (traced(1, 1, 1, 1), "tokens: must be 3 rows, as the recorded queries have, got 4"),
    ],
)
def test_rows_beyond_the_queries_are_refused(trace: Trace, said: str, tmp_path: Path) -> None:
    write_trace(trace, tmp_path / "t.npz")
    with pytest.raises(InputError, match=said):
        read_trace(tmp_path / "t.npz")
