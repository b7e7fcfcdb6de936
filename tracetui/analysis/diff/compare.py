"""Compares two traces, tensor by tensor, in order of execution."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from tracetui.analysis.diff.alignment.align import Alignment, Pair, align
from tracetui.analysis.diff.distances.by_statistics import by_statistics
from tracetui.analysis.diff.distances.distance import Distance, distance_and_norms
from tracetui.analysis.diff.distances.rows import Floats
from tracetui.analysis.diff.preface import Preface, preface
from tracetui.analysis.diff.prepare import Window, at_same_positions, stand_alike, window
from tracetui.analysis.diff.printed import beside, sums_apart
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.diff.rounding.token_rounding import TokenRounding
from tracetui.analysis.diff.rounding.tolerance import Limits, Tolerance, unit_of
from tracetui.analysis.diff.routing.routed import is_expert
from tracetui.analysis.mapping.layouts import SAME, Layout, every_layout, halves_from_pairs, pairs_from_halves
from tracetui.analysis.mapping.names import PAIRED
from tracetui.analysis.mapping.rules import Rules
from tracetui.recording.dumps.graph_log import is_printed
from tracetui.recording.record import Record
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue, Value, is_kept

_USUAL_HEADS = (128, 64, 256, 192, 96, 80, 32, 16, 8)
_ROTATED = (".q_proj", ".k_proj", ".q_norm", ".k_norm", ":q", ":k")


Tell = Callable[[int, int], None]
"""Hears how many sites of how many are compared; may raise to leave the rest."""


def untold(done: int, total: int) -> None:
    """A progress callback that does nothing."""


def compare(
    a: Trace, b: Trace, alignment: Alignment | None = None, limits: Limits | None = None, tell: Tell = untold
) -> Comparison:
    """Compare what two traces have in common; B is the reference that distances are relative to.

    Raises FileChangedError if a file changes under it.
    """
    alignment = align(a, b, Rules()) if alignment is None else alignment
    before = preface(a, b, alignment)
    meter = _Meter(a, b, alignment, before, limits or Limits())
    sites: list[SiteDiff] = []
    for pair in alignment.pairs:
        tell(len(sites), len(alignment.pairs))
        sites.append(meter.measure(pair))
    return Comparison(a, b, before, alignment, tuple(sites))


def _skipped(pair: Pair, why: str) -> SiteDiff:
    return SiteDiff(pair, Outcome.SKIPPED, why=why)


@dataclass(frozen=True, eq=False, slots=True)
class _Try:
    """One way to lay B out, and how far it then is."""

    layout: Layout
    distance: Distance
    norms: Floats
    """Of B's rows."""
    shape: tuple[int, ...]


class _Meter:
    """Measures pairs of two traces; the same two values are measured once."""

    def __init__(self, a: Trace, b: Trace, alignment: Alignment, before: Preface, limits: Limits) -> None:
        self._a = a
        self._b = b
        self._limits = limits
        self._window: Window = window(a, b, before.common)
        self._heads = _head_sizes(self._window.config, alignment)
        self._foreign = a.dump or b.dump
        # A script's dump needn't hold every layer that it ran.
        self._missing = {} if self._foreign else _first_of_missing(a, b, before.first_missing)
        self._parts = tuple(Counter(_call(record) for record in side.records if not record.role) for side in (a, b))
        self._known: dict[tuple[object, ...], SiteDiff] = {}
        self._inherited = 0.0
        self._unscaled: dict[tuple[str, str, float], Tolerance] = {}
        self._rounding = TokenRounding(self._window.config)

    def measure(self, pair: Pair) -> SiteDiff:
        value_a, value_b = self._a.value(pair.a.record), self._b.value(pair.b.record)
        key = (id(value_a), id(value_b), pair.a.layout.name, pair.b.layout.name, pair.site.rpartition(".")[2])
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._measure(pair, value_a, value_b)
            self._inherit(known, value_a, value_b)
        if known.outcome is not Outcome.SAME and self._is_another_part(pair):
            return _skipped(pair, "the module returned another number of tensors")
        if known.pair is pair:
            return known
        return SiteDiff(pair, known.outcome, known.tolerance, known.distance, known.layout, why=known.why)

    def _is_another_part(self, pair: Pair) -> bool:
        """Whether a module returned other numbers of tensors on both sides: which of them is meant nobody knows.

        With one kernel attention returns its weights, with another it leaves them out.
        """
        records = (pair.a.record, pair.b.record)
        if not all(record.part for record in records) or self._foreign:
            return False
        counts = (self._parts[at][_call(record)] for at, record in enumerate(records))
        return len(set(counts)) > 1

    def _inherit(self, found: SiteDiff, a: Value, b: Value) -> None:
        """What comes after a coarse tensor that is not bit for bit the same is no finer than it, whatever its dtype."""
        if found.distance is not None and found.distance.relative > 0:
            self._inherited = max(self._inherited, unit_of(a.dtype, b.dtype))

    def _measure(self, pair: Pair, value_a: Value, value_b: Value) -> SiteDiff:
        if why := self._unrelated(pair):
            return _skipped(pair, why)
        printed = is_printed(value_a) or is_printed(value_b)
        if not all(is_kept(value) or is_printed(value) for value in (value_a, value_b)):
            if printed:
                return _skipped(pair, "printed on one side, without values on the other")
            return self._measure_statistics(pair, value_a, value_b)
        alike = at_same_positions(self._window, pair, *stand_alike(self._a, self._b, pair))
        if alike is None:
            return _skipped(pair, "each side has other tokens' part")
        a, b = alike
        unscaled = self._unscaled_tolerance(value_a.dtype, value_b.dtype)
        found = self._best(pair, a, b, unscaled)
        if found is None:
            return SiteDiff(pair, Outcome.SHAPES, unscaled)
        self._rounding.see(pair, found.shape, found.norms)
        tolerance = self._tolerance(value_a, value_b, found.distance.scale)
        outcome = _outcome(found.distance, tolerance)
        if printed and outcome is Outcome.SAME and (apart := sums_apart(pair, (value_a, value_b), (a, b))):
            return SiteDiff(pair, Outcome.DIFFERENT, tolerance, found.distance, found.layout, apart)
        return SiteDiff(pair, outcome, tolerance, found.distance, found.layout)

    def _unrelated(self, pair: Pair) -> str:
        """Why two values have nothing to do with each other: other tokens, or layers of one side; empty if not."""
        pass_, common = pair.a.record.pass_, self._window.common
        if pass_ and common is not None and not self._same_so_far(pass_, common):
            return "the pass saw other tokens"
        records = {"A": pair.a.record, "B": pair.b.record}
        after = any(record.index >= self._missing.get((side, pass_), math.inf) for side, record in records.items())
        return "one side alone has layers before" if after else ""

    def _same_so_far(self, pass_: int, common: int) -> bool:
        """Whether all that a later pass has seen is the same on both sides."""
        a, b = self._a.positions(pass_), self._b.positions(pass_)
        return a == b and a.stop <= common and self._a.prompt_lengths == self._b.prompt_lengths

    def _unscaled_tolerance(self, dtype_a: str, dtype_b: str) -> Tolerance:
        """The tolerance before B's scale is known; one object for all tensors alike."""
        key = (dtype_a, dtype_b, self._inherited)
        known = self._unscaled.get(key)
        if known is None:
            known = self._unscaled[key] = self._limits.tolerance(dtype_a, dtype_b, 0.0, self._inherited)
        return known

    def _tolerance(self, a: Value, b: Value, scale: float) -> Tolerance:
        known = scale if math.isfinite(scale) and scale > 0 else 0.0
        return self._limits.tolerance(a.dtype, b.dtype, known, self._inherited)

    def _measure_statistics(self, pair: Pair, value_a: Value, value_b: Value) -> SiteDiff:
        whole = pair.a.layout is SAME and pair.b.layout is SAME and not self._window.needed()
        if is_expert(pair.site) or not whole:
            return _skipped(pair, "without values, and statistics are of other rows")
        tolerance = self._tolerance(value_a, value_b, _scale(value_b.statistics()))
        if math.prod(value_a.shape) != math.prod(value_b.shape):
            return SiteDiff(pair, Outcome.SHAPES, tolerance)
        found = by_statistics(value_a.statistics(), value_b.statistics(), tolerance)
        return SiteDiff(pair, _outcome(found, tolerance), tolerance, found)

    def _best(self, pair: Pair, a: Value, b: Value, tolerance: Tolerance) -> _Try | None:
        """The first layout within the tolerance, or else the nearest; None if no layout has the shape."""
        best: _Try | None = None
        for layout in self._layouts(pair, a.shape, b.shape):
            tried = self._try(pair, a, b, layout, tolerance)
            if not _differs(tried.distance, tolerance):
                return tried
            if best is None or tried.distance.furthest < best.distance.furthest:
                best = tried
        return best

    def _layouts(self, pair: Pair, shape_a: tuple[int, ...], shape_b: tuple[int, ...]) -> list[Layout]:
        compared_b = self._compared_shape(pair, shape_a, shape_b)
        as_it_is = shape_a == compared_b and not self._foreign
        if as_it_is and pair.a.naming == pair.b.naming:
            return [SAME]
        found = [SAME] if as_it_is else list(every_layout(shape_a, compared_b))
        paired_a, paired_b = (named.naming in PAIRED for named in (pair.a, pair.b))
        if paired_a != paired_b and pair.site.partition("@")[0].endswith(_ROTATED) and shape_a:
            turned = halves_from_pairs if paired_b else pairs_from_halves
            sizes = [size for size in self._heads if size % 2 == 0 and shape_a[-1] % size == 0]
            found += [layout.then(turned(size)) for size in sizes for layout in found]
        return found

    def _compared_shape(self, pair: Pair, shape_a: tuple[int, ...], shape_b: tuple[int, ...]) -> tuple[int, ...]:
        """B's shape, or A's if they differ in nothing but the number of tokens and only common ones are compared."""
        if self._window.common is None or len(shape_a) != len(shape_b):
            return shape_b
        cut_a, cut_b = (self._window.cut(pair.record, _blank(shape)).shape for shape in (shape_a, shape_b))
        return shape_a if cut_a == cut_b else shape_b

    def _try(self, pair: Pair, a: Value, b: Value, layout: Layout, tolerance: Tolerance) -> _Try:
        printed = is_printed(self._a.value(pair.a.record)) or is_printed(self._b.value(pair.b.record))
        if layout is not SAME or self._window.needed() or printed:
            array_a, array_b = a.read(), layout.apply(b.read())
            if self._window.needed():
                array_a, array_b = (self._window.cut(pair.record, array) for array in (array_a, array_b))
            if printed:
                array_a, array_b = beside(array_a, array_b)
            a, b = ArrayValue(array_a, a.dtype), ArrayValue(array_b, b.dtype)
        found, norms = distance_and_norms(a, b, tolerance, partial(self._rounding.past, pair, a.shape))
        return _Try(layout, found, norms, a.shape)


def _call(record: Record) -> tuple[str, int, int]:
    return record.site, record.pass_, record.call


def _first_of_missing(a: Trace, b: Trace, layer: int | None) -> dict[tuple[str, int], int]:
    """By side and pass, the index of the first record of a layer that one side alone has."""
    found: dict[tuple[str, int], int] = {}
    for side, trace in (("A", a), ("B", b)):
        for record in trace.records if layer is not None else ():
            if record.layer == layer:
                found.setdefault((side, record.pass_), record.index)
    return found


def _blank(shape: tuple[int, ...]) -> Array:
    """An array of a shape that takes no memory."""
    return np.broadcast_to(np.float32(0), shape)


def _differs(found: Distance, tolerance: Tolerance) -> bool:
    """Whether one element is far off, or a row is, or all are together: what a few are off by no more is rounding."""
    if math.isnan(found.relative):  # Squares beyond float64: each element alone can tell.
        return found.off > 0
    return found.far > 0 or (tolerance.slack > 1 and found.beyond(tolerance))


def _outcome(found: Distance, tolerance: Tolerance) -> Outcome:
    return Outcome.DIFFERENT if _differs(found, tolerance) else Outcome.SAME


def _scale(statistics: Statistics) -> float:
    """The root mean square of the finite elements."""
    finite = statistics.numel - statistics.nan - statistics.posinf - statistics.neginf
    return statistics.l2 / math.sqrt(finite) if finite > 0 else 0.0


def _head_sizes(config: Mapping[str, object], alignment: Alignment) -> tuple[int, ...]:
    """The width of one head, from recorded heads or the configuration; the usual ones if nothing tells."""
    sides = [named for pair in alignment.pairs for named in (pair.a, pair.b)]
    for named in (*sides, *alignment.only_a, *alignment.only_b):
        if named.record.role in ("q", "k") and len(named.record.shape) == 4:
            return (named.record.shape[-1],)
    size, hidden, heads = (config.get(name) for name in ("head_dim", "hidden_size", "num_attention_heads"))
    if isinstance(size, int) and size > 0:
        return (size,)
    if isinstance(hidden, int) and isinstance(heads, int) and heads > 0 and hidden % heads == 0:
        return (hidden // heads,)
    return _USUAL_HEADS
