"""The values of one compared site as they are compared: B's laid out as A's, as far as both sides have them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tracetui.analysis.diff.prepare import MAX_NUMEL, at_same_positions, stand_alike, window
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.mapping.layouts import SAME
from tracetui.recording.record import Record
from tracetui.recording.value import ArrayValue, Value, is_kept


@dataclass(frozen=True, eq=False, slots=True)
class Sides:
    """Two values of one shape."""

    record: Record
    """A's under the site's own name, with the shape that is compared."""
    a: Value
    b: Value


def sides(comparison: Comparison, site: SiteDiff) -> Sides | str:
    """Both sides' values, or in words why they can't stand beside each other.

    Where nothing is laid out anew they are read in part; else they are read here, whole.
    """
    pair = site.pair
    values = comparison.a.value(pair.a.record), comparison.b.value(pair.b.record)
    lacking = " and ".join(letter for letter, value in zip("AB", values, strict=True) if not is_kept(value))
    if lacking:
        return f"The values of this tensor were not kept in {lacking}, only its statistics."
    if site.outcome is Outcome.SHAPES:
        return f"The shapes don't go together: {list(values[0].shape)} in A, {list(values[1].shape)} in B."
    cut = window(comparison.a, comparison.b, comparison.preface.common)
    as_they_are = site.layout is SAME and pair.a.layout is SAME and pair.b.layout is SAME
    if not (as_they_are and not cut.needed()) and max(pair.a.record.numel, pair.b.record.numel) > MAX_NUMEL:
        return "This tensor is laid out anew to be compared, and too large to be shown so."
    alike = at_same_positions(cut, pair, *stand_alike(comparison.a, comparison.b, pair))
    if alike is None:
        return "These are of other positions in A and in B, and were not compared."
    a, b = alike
    if site.layout is not SAME:
        b = ArrayValue(site.layout.apply(b.read()), b.dtype)
    if cut.needed():
        a, b = (ArrayValue(cut.cut(pair.record, value.read()), value.dtype) for value in (a, b))
    if a.shape != b.shape:
        return f"These were not compared: {list(a.shape)} in A, {list(b.shape)} in B."
    return Sides(replace(pair.record, shape=a.shape), a, b)
