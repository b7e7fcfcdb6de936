"""The parts of two tensors that can be compared: what both prompts have in common, without padding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tracetui.analysis.axes import axes_of
from tracetui.analysis.diff.alignment.align import Pair
from tracetui.analysis.diff.alignment.caches import ROLES, caches_alike, windows_of
from tracetui.analysis.diff.alignment.masks import ALIKE
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.diff.alignment.placement import prompt_width
from tracetui.analysis.diff.routing.routed import is_expert, routed
from tracetui.analysis.mapping.layouts import SAME
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue, Value

MAX_NUMEL = 1 << 25
"""Of a tensor that is looked at whole: 256 MiB in float64."""
_LOGITS = ("lm_head", "logits")


@dataclass(frozen=True, slots=True)
class Window:
    """How much of the token axes is compared."""

    config: Mapping[str, object]
    lengths_a: tuple[int, ...]
    """Real tokens a row of A's; empty if unknown."""
    common: int | None
    """Tokens from the start on that are the same on both sides; None if all are, or nothing is known."""
    widths: tuple[int, int] = (0, 0)
    """Positions of A's and of B's prompts; 0 where they are unknown."""

    def cut(self, record: Record, array: Array) -> Array:
        """The array of a site as far as the prompts are the same, its padding set to zero."""
        names = self._names(record, array)
        return self._without_padding(self._common_part(array, names), names) if names else array

    def shortened(self, record: Record, array: Array) -> Array:
        """The array of a site as far as the prompts are the same."""
        return self._common_part(array, self._names(record, array))

    def _names(self, record: Record, array: Array) -> list[str]:
        """Of the array's axes; empty where they aren't those of the site."""
        names = [axis.name for axis in axes_of(record, self.config)]
        return [] if array.ndim != len(names) or is_expert(record.site) else names

    def _common_part(self, array: Array, names: list[str]) -> Array:
        if self.common is None or not names:
            return array
        return array[tuple(slice(self.common) if self._counts(name) else slice(None) for name in names)]

    def needed(self) -> bool:
        return self.common is not None or len(set(self.lengths_a)) > 1

    def _counts(self, name: str) -> bool:
        """Whether an axis counts tokens; batch and tokens in one do so for a single prompt."""
        return name in ("T", "S") or (name == "N" and len(self.lengths_a) <= 1)

    def _without_padding(self, array: Array, names: list[str]) -> Array:
        if len(set(self.lengths_a)) < 2 or names[:1] != ["B"] or array.shape[0] != len(self.lengths_a):
            return array
        array = array.copy()
        for axis, name in enumerate(names):
            if name in ("T", "S"):
                for row, length in enumerate(self.lengths_a):
                    array[row].swapaxes(0, axis - 1)[length:] = 0
        return array


def window(a: Trace, b: Trace, common: int | None) -> Window:
    """For two traces whose prompts have `common` tokens in common."""
    config = {**b.run.config, **a.run.config}
    known = a.tokens and b.tokens and not (a.dump or b.dump)
    widths = (prompt_width(a), prompt_width(b)) if known else (0, 0)
    return Window(config, tuple(len(row) for row in a.tokens or b.tokens), common, widths)


def at_same_positions(shared: Window, pair: Pair, a: Value, b: Value) -> tuple[Value, Value] | None:
    """Both values at the positions that both have, where a side computed the last ones only, as of logits.

    None where these are no common ones.
    """
    if not all(shared.widths) or pair.a.record.pass_:
        return _last_positions(pair, a, b)
    names = [axis.name for axis in axes_of(pair.record, shared.config)]
    if pair.record.layer is not None or "T" not in names or not len(a.shape) == len(b.shape) == len(names):
        return a, b
    axis = names.index("T")
    first_a, first_b = (
        _first_position(value.shape[axis], width) for value, width in zip((a, b), shared.widths, strict=True)
    )
    first, end = max(first_a, first_b), min(*shared.widths, *([] if shared.common is None else [shared.common]))
    if not first:
        return a, b
    if first >= end:
        return None
    return _part(a, axis, first - first_a, end - first_a), _part(b, axis, first - first_b, end - first_b)


def _first_position(held: int, width: int) -> int:
    """The first of the positions that a tensor holds, if they are a prompt's last ones."""
    return width - held if 0 < held < width else 0


def _part(value: Value, axis: int, start: int, stop: int) -> Value:
    """The places from `start` to `stop` of one axis; the value itself where that is all."""
    if (start, stop) == (0, value.shape[axis]):
        return value
    return ArrayValue(value.read((slice(None),) * axis + (slice(start, stop),)), value.dtype)


def _last_positions(pair: Pair, a: Value, b: Value) -> tuple[Value, Value]:
    """One side's last position and the other's last position, where one side has no others; else both unchanged.

    Logits may exist only for the positions that were asked for, and so may what llama.cpp computes after the last
    attention.
    """
    if a.shape == b.shape:
        return a, b
    rows_a, rows_b = (math.prod(value.shape[:-1]) for value in (a, b))
    may_be_last = pair.site.partition("@")[0] in _LOGITS or (
        "ggml" in (pair.a.naming, pair.b.naming) and 1 in (rows_a, rows_b) and not pair.record.role.startswith("prob")
    )
    if not may_be_last or rows_a == rows_b or a.shape[-1:] != b.shape[-1:]:
        return a, b
    return (_last(a, rows_b), b) if rows_a > rows_b else (a, _last(b, rows_a))


def _last(value: Value, rows: int) -> Value:
    """The last position alone of [B,T,V] or [T,V], if that makes as many rows."""
    *batch, tokens = value.shape[:-1] or (0,)
    if len(value.shape) < 2 or not tokens or math.prod(batch) != rows:
        return value
    last = (slice(None),) * len(batch) + (slice(tokens - 1, tokens),)
    return ArrayValue(value.read(last), value.dtype)


def stand_alike(a: Trace, b: Trace, pair: Pair) -> tuple[Value, Value]:
    """A pair's values as rules lay them out, choices of experts in one order, masks as one kind. They must be kept."""
    values = (a.value(pair.a.record), b.value(pair.b.record))
    role = pair.a.record.role
    if role in ALIKE and pair.b.record.role == role:
        return ALIKE[role](_laid_out(pair.a, values[0]), _laid_out(pair.b, values[1]))
    if pair.a.layout is SAME and pair.b.layout is SAME:
        arrays = routed(a, b, pair)
        if arrays is not None:
            return ArrayValue(arrays[0], values[0].dtype), ArrayValue(arrays[1], values[1].dtype)
    else:
        values = (_laid_out(pair.a, values[0]), _laid_out(pair.b, values[1]))
    if pair.record.pass_ and pair.record.role in ROLES and values[0].shape != values[1].shape:
        values = caches_alike(*values, windows_of(a, b))
    complex_a, complex_b = (value.dtype.startswith("complex") for value in values)
    return (_real(values[0], not complex_b), _real(values[1], not complex_a))


def _real(value: Value, beside_real: bool) -> Value:
    """The real part of complex values beside others: all that a dump that turned them to floats has kept."""
    if not (beside_real and value.dtype.startswith("complex")):
        return value
    return ArrayValue(value.read().real)


def _laid_out(named: Named, value: Value) -> Value:
    return value if named.layout is SAME else ArrayValue(named.layout.apply(value.read()), value.dtype)
