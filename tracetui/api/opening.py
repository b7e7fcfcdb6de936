"""Traces from wherever a user has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tracetui.api.trace import Trace
from tracetui.errors import InputError
from tracetui.recording.dumps.values import NamedValue, dump_trace
from tracetui.recording.ranks.folder import open_run
from tracetui.recording.record import when
from tracetui.recording.trace import Trace as Recorded
from tracetui.recording.value import Array, ArrayValue

Traceable = Trace | Recorded | str | Path | Mapping[str, Array | Sequence[Array]]
"""A trace, a file that `open_trace` takes, or arrays by the names of their sites in order of execution; a list has an
array for each pass."""


def open_trace(path: str | Path) -> Trace:
    """Open a trace, or a plain npz or safetensors file of named tensors; values are read when asked for.

    Raises InputError naming the file, and the member or field that is wrong.
    """
    return Trace(open_run(Path(path)))


def recorded(traceable: Traceable) -> Recorded:
    """What was recorded, wherever it is given. Raises InputError for a file that can't be read, and TypeError."""
    if isinstance(traceable, Trace):
        return traceable.recorded
    if isinstance(traceable, Recorded):
        return traceable
    if isinstance(traceable, str | Path):
        return open_run(Path(traceable))
    if isinstance(traceable, Mapping):
        return dump_trace(_named(traceable))
    raise TypeError(f"a trace, a file's path or a dict of arrays is needed, got {type(traceable).__name__}")


def _named(arrays: Mapping[str, Array | Sequence[Array]]) -> Iterator[NamedValue]:
    """Pass by pass, in the order of the names."""
    passes = {name: _passes(name, values) for name, values in arrays.items()}
    for pass_ in range(max(map(len, passes.values()), default=0)):
        for name, values in passes.items():
            if pass_ < len(values):
                key = name + when(pass_) if len(values) > 1 else name
                yield NamedValue(key, ArrayValue(_array(key, values[pass_])))


def _passes(name: str, values: Array | Sequence[Array]) -> Sequence[Array]:
    """What a hook that appends kept of each pass; one array is one pass, and so are lists of plain numbers."""
    several = isinstance(values, list | tuple) and values and all(np.ndim(value) > 1 for value in values)
    return list(values) if several else [values]  # type: ignore[list-item]


def _array(name: str, values: Array) -> Array:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"{name}: must be an array of numbers, or a list with an array for each pass") from error
    if array.dtype.kind not in "biufc":
        raise InputError(f"{name}: must be an array of numbers, got {array.dtype}")
    return array
