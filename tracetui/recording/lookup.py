"""The record that a typed site means, and those that were nearly typed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.text import visible

_FORMS = 1000
"""The most forms of keys that a name is held against: each takes a tenth of a millisecond."""
_NEAR_FORMS, _NEAR_KEYS, _ADVISED = 5, 3, 3
_LONGEST = 400
_NUMBER = re.compile(r"\d+")


def named(trace: Trace, key: str) -> Record | None:
    """The record of a key, or the only one whose key ends so from a dot on: `layers.7.mlp`."""
    exact = trace.find(key)
    if exact is not None or not key:
        return exact
    ending = [record for record in trace.records if record.key.endswith(f".{key}")]
    return ending[0] if len(ending) == 1 else None


def unknown(trace: Trace, name: str) -> str:
    """`the trace has no 'x'; near are y, z`: what to say of a key that isn't there."""
    near = nearest(name[:_LONGEST], (record.key for record in trace.records))
    advice = f"; near are {', '.join(visible(key, 100) for key in near)}" if near else "; `tracetui info` lists sites"
    return f"the trace has no {visible(name, 200)!r}{advice}"


def nearest(name: str, keys: Iterable[str]) -> list[str]:
    """The keys that a mistyped one may mean, the likeliest first.

    Layers, experts and passes make most keys of a trace differ in numbers alone: a name is held against what keys are
    without them, and among keys of one form the nearest numbers count.
    """
    forms: dict[str, list[str]] = {}
    for key in keys:
        form = _NUMBER.sub("0", key)
        if form in forms:
            forms[form].append(key)
        elif len(forms) < _FORMS:
            forms[form] = [key]
    numbers = _numbers(name)
    near = get_close_matches(_NUMBER.sub("0", name), forms, _NEAR_FORMS, 0.5)
    candidates = [
        key for form in near for key in sorted(forms[form], key=lambda key: _apart(_numbers(key), numbers))[:_NEAR_KEYS]
    ]
    return get_close_matches(name, candidates, _ADVISED, 0.5)


def _numbers(key: str) -> list[int]:
    return [int(digits) for digits in _NUMBER.findall(key[:_LONGEST])]


def _apart(one: list[int], other: list[int]) -> tuple[int, int]:
    """How many more numbers there are on either side, and how far apart the others are in all."""
    return abs(len(one) - len(other)), sum(abs(a - b) for a, b in zip(one, other, strict=False))
