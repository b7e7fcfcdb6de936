"""Traces from wherever a user has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tracetui.api.trace import Trace
from tracetui.errors import InputError
from tracetui.recording.dumps import open_recorded
from tracetui.recording.dumps.values import NamedValue, dump_trace
from tracetui.recording.trace import Trace as Recorded
from tracetui.recording.value import Array, ArrayValue

Traceable = Trace | Recorded | str | Path | Mapping[str, Array]
"""A trace, a file that `open_trace` takes, or arrays by the names of their sites in order of execution."""


def open_trace(path: str | Path) -> Trace:
    """Open a trace, or a plain npz or safetensors file of named tensors; values are read when asked for.

    Raises InputError naming the file, and the member or field that is wrong.
    """
    return Trace(open_recorded(Path(path)))


def recorded(traceable: Traceable) -> Recorded:
    """What was recorded, wherever it is given. Raises InputError for a file that can't be read, and TypeError."""
    if isinstance(traceable, Trace):
        return traceable.recorded
    if isinstance(traceable, Recorded):
        return traceable
    if isinstance(traceable, str | Path):
        return open_recorded(Path(traceable))
    if isinstance(traceable, Mapping):
        return dump_trace(NamedValue(name, ArrayValue(_array(name, values))) for name, values in traceable.items())
    raise TypeError(f"a trace, a file's path or a dict of arrays is needed, got {type(traceable).__name__}")


def _array(name: str, values: Array) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "biufc":
        raise InputError(f"{name}: must be an array of numbers, got {array.dtype}")
    return array
