"""Keys and values of later passes where one side's cache holds fewer: those that a window leaves, or that were lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tracetui.recording.trace import Trace
from tracetui.recording.value import ArrayValue, Value

ROLES = ("k", "v")
_WINDOWS = ("window", "chunk_size", "chunk_length")
"""What stands in the names of config fields that tell how many keys a cache needs to hold."""


def windows_of(*traces: Trace) -> frozenset[int]:
    """How many keys back queries may see in some layer, as kernels were told or configurations tell; empty if all."""
    calls = {call.sliding_window for trace in traces for call in trace.attention.values() if call.sliding_window}
    return frozenset(calls | {size for trace in traces for size in _sizes(trace.run.config)})


def _sizes(config: Mapping[str, object]) -> Iterator[int]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _sizes(value)
        elif isinstance(value, int) and not isinstance(value, bool) and any(word in name for word in _WINDOWS):
            yield value


def keys_lost(fewer: int, more: int, windows: frozenset[int]) -> bool:
    """Whether a cache that holds fewer keys than the other side's lacks some that a window doesn't explain."""
    return fewer < more and not any(0 < window <= fewer for window in windows)


def caches_alike(a: Value, b: Value, windows: frozenset[int]) -> tuple[Value, Value]:
    """Both [B,G,S,K] with as many keys: the last ones of both, or zeros in place of keys that one side lost."""
    if len(a.shape) != 4 or len(b.shape) != 4 or a.shape[2] == b.shape[2]:
        return a, b
    fewer, more = sorted((a.shape[2], b.shape[2]))
    count = more if keys_lost(fewer, more, windows) else fewer
    return _last_keys(a, count), _last_keys(b, count)


def _last_keys(value: Value, count: int) -> Value:
    array = value.read()[:, :, -count:]  # [B,G,S,K]
    lost = count - array.shape[2]
    return ArrayValue(np.pad(array, ((0, 0), (0, 0), (lost, 0), (0, 0))), value.dtype)
