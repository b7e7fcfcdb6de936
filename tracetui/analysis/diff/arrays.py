"""The numbers of a compared site, as patterns are looked for in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracetui.analysis.diff.prepare import stand_alike
from tracetui.analysis.diff.result import Comparison, SiteDiff

Numbers = npt.NDArray[np.float64]
MAX_NUMEL = 1 << 25
"""Of a tensor that is looked at: 256 MiB in float64."""


@dataclass(frozen=True, eq=False, slots=True)
class Both:
    """One tensor of both sides in float64, B laid out as A is."""

    a: Numbers
    b: Numbers

    def rows(self) -> Both:
        """As [N, last axis]."""
        width = self.a.shape[-1]
        return Both(self.a.reshape(-1, width), self.b.reshape(-1, width))


def both(comparison: Comparison, site: SiteDiff) -> Both | None:
    """A site's numbers; None where they weren't kept, don't go together, or are too many."""
    pair = site.pair
    if site.distance is None or site.distance.by_statistics:
        return None
    if max(pair.a.record.numel, pair.b.record.numel) > MAX_NUMEL:
        return None
    a, b = (value.read() for value in stand_alike(comparison.a, comparison.b, pair))
    b = site.layout.apply(b)
    if a.shape != b.shape or "c" in (a.dtype.kind, b.dtype.kind):
        return None
    return Both(a.astype(np.float64), b.astype(np.float64))
