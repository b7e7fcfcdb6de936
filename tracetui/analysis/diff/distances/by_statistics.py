"""How far apart two tensors are as far as their statistics tell, where values were not kept."""

from __future__ import annotations

import math

from tracetui.analysis.diff.distances.distance import Distance, ratio
from tracetui.analysis.diff.rounding.tolerance import Tolerance
from tracetui.recording.statistics import Statistics


def by_statistics(a: Statistics, b: Statistics, tolerance: Tolerance) -> Distance:
    """What the statistics alone tell: equal ones prove nothing, different ones that the tensors differ."""
    pairs = [(a.min, b.min), (a.max, b.max), (a.mean, b.mean), (a.std, b.std)]
    root = math.sqrt(max(1, b.numel))
    pairs.append((a.l2 / root, b.l2 / root))
    unlike = abs(a.nan - b.nan) + abs(a.posinf - b.posinf) + abs(a.neginf - b.neginf)
    apart = max((abs(x - y) for x, y in pairs if not (math.isnan(x) and math.isnan(y))), default=0.0)
    off = unlike > 0 or not all(_near(x, y, tolerance) for x, y in pairs)
    return Distance(
        numel=b.numel,
        off=int(off),
        far=int(off),
        max_abs=apart,
        max_rel=ratio(apart, max((abs(y) for _, y in pairs if not math.isnan(y)), default=0.0)),
        relative=ratio(abs(a.l2 - b.l2), b.l2) if a.finite_count or b.finite_count else 0.0,
        cosine=math.nan,
        unlike=unlike,
        worst=None,
        worst_a=math.nan,
        worst_b=math.nan,
        scale=b.l2 / root,
        by_statistics=True,
    )


def _near(x: float, y: float, tolerance: Tolerance) -> bool:
    """A file may say NaN of its own values: that is near nothing but itself."""
    return x == y or abs(x - y) <= tolerance.atol + tolerance.rtol * abs(y) or (math.isnan(x) and math.isnan(y))
