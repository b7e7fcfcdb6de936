"""Traces of plain arrays for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tracetui.recording.record import Record, Token
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Array, ArrayValue, StatisticsValue, Value


def trace_of(
    arrays: Mapping[str, Array],
    tokens: Sequence[Sequence[int]] = (),
    config: Mapping[str, object] | None = None,
    dtypes: Mapping[str, str] | None = None,
    dump: bool = False,
) -> Trace:
    """A trace whose records are these arrays, in their order."""
    values = tuple(ArrayValue(array, (dtypes or {}).get(site)) for site, array in arrays.items())
    records = tuple(
        Record(index, site, value.shape, value.dtype, site.count("."), parent=site.rpartition(".")[0])
        for index, (site, value) in enumerate(zip(arrays, values, strict=True))
    )
    rows = tuple(tuple(Token(token, b"t%d" % token) for token in row) for row in tokens)
    return Trace(RunInfo(config=config or {}), rows, records, values, {}, dump=dump)


def without_values(trace: Trace) -> Trace:
    """The same, with statistics alone."""
    values: tuple[Value, ...] = tuple(
        StatisticsValue(value.shape, value.dtype, value.statistics()) for value in trace.values
    )
    return Trace(trace.run, trace.tokens, trace.records, values, {}, dump=trace.dump)


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
