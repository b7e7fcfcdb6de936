"""The numbers of a compared site, as patterns are looked for in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracetui.analysis.diff.prepare import MAX_NUMEL, at_same_positions, stand_alike, window
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.recording.value import is_kept

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Both:
    """One tensor of both sides in float64, as it is compared: B laid out as A is, and only what is in common."""

    a: Numbers
    b: Numbers

    def rows(self) -> Both:
        """As [N, last axis]."""
        width = self.a.shape[-1] if self.a.ndim else 1
        return Both(self.a.reshape(-1, width), self.b.reshape(-1, width))


def both(comparison: Comparison, site: SiteDiff) -> Both | None:
    """A site's numbers; None where they weren't kept, don't go together, are too many, or there are none."""
    pair = site.pair
    if site.distance is None or site.distance.by_statistics:
        return None
    if max(pair.a.record.numel, pair.b.record.numel) > MAX_NUMEL:
        return None
    shared = window(comparison.a, comparison.b, comparison.preface.common)
    found = at_same_positions(shared, pair, *stand_alike(comparison.a, comparison.b, pair))
    if found is None:
        return None
    a = shared.shortened(pair.record, found[0].read())
    b = shared.shortened(pair.record, site.layout.apply(found[1].read()))
    if a.shape != b.shape or not a.size or "c" in (a.dtype.kind, b.dtype.kind):
        return None
    return Both(a.astype(np.float64), b.astype(np.float64))


def one_side(comparison: Comparison, site: str) -> Numbers | None:
    """The numbers of a site that one side alone has, as far as the prompts are the same; None where there are none."""
    alignment = comparison.alignment
    for trace, lone in ((comparison.a, alignment.only_a), (comparison.b, alignment.only_b)):
        named = next((named for named in lone if named.site == site), None)
        if named is None:
            continue
        value = trace.value(named.record)
        if not is_kept(value) or named.record.numel > MAX_NUMEL:
            return None
        shared = window(comparison.a, comparison.b, comparison.preface.common)
        found = shared.shortened(named.record, named.layout.apply(value.read()))
        return None if "c" in found.dtype.kind else found.astype(np.float64)
    return None
