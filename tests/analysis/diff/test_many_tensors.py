"""Files of hundreds of thousands of tensors: each is named and read once, whatever is looked for in them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.diff.made import trace_of
from tracetui.analysis.diff.report import report
from tracetui.analysis.mapping.names import Meaning, meaning
from tracetui.native import library
from tracetui.recording.value import Array, ArrayValue, Index

COUNT = 8


def side() -> dict[str, Array]:
    return {f"model.layers.{layer}.x{at}": np.ones(1, np.float32) for layer in range(2) for at in range(COUNT // 2)}


@pytest.mark.skipif(library.library() is None, reason="numpy looks again for what is furthest apart")
def test_small_tensors_are_named_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    reads: list[ArrayValue] = []
    read = ArrayValue.read

    def counted(value: ArrayValue, index: Index = ()) -> Array:
        reads.append(value)
        return read(value, index)

    def named(name: str, rank: int, others: frozenset[str]) -> Meaning:
        names.append(name)
        return meaning(name, rank, others)

    monkeypatch.setattr("tracetui.analysis.diff.alignment.named.meaning", named)
    monkeypatch.setattr("tracetui.analysis.diff.alignment.scans.meaning", lambda *_: pytest.fail("no stack is here"))
    monkeypatch.setattr(ArrayValue, "read", counted)
    found = report(trace_of(side(), dump=True), trace_of(side(), dump=True))
    assert found.comparison.same
    assert (len(names), len(reads)) == (COUNT, 2 * COUNT)
