"""The record that a typed site means, and those that were nearly typed."""

from __future__ import annotations

from difflib import get_close_matches

from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.text import visible

_LOOKED_AT = 20_000
_LONGEST = 400


def named(trace: Trace, key: str) -> Record | None:
    """The record of a key, or the only one whose key ends so from a dot on: `layers.7.mlp`."""
    exact = trace.find(key)
    if exact is not None or not key:
        return exact
    ending = [record for record in trace.records if record.key.endswith(f".{key}")]
    return ending[0] if len(ending) == 1 else None


def unknown(trace: Trace, name: str) -> str:
    """`the trace has no 'x'; near are y, z`: what to say of a key that isn't there."""
    keys = [record.key for record in trace.records[:_LOOKED_AT]]
    near = get_close_matches(name[:_LONGEST], keys, 3, 0.5)
    advice = f"; near are {', '.join(visible(key, 100) for key in near)}" if near else "; `tracetui info` lists sites"
    return f"the trace has no {visible(name, 200)!r}{advice}"
