"""What a trace remembers of the weights that it was made with: enough to tell which of another run's are others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SAMPLED = 64
"""So many elements of each weight are remembered at most."""
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class WeightPrint:
    """One weight as it was read, or the rows of it that were."""

    shape: tuple[int, ...]
    dtype: str
    provenance: str
    digest: str
    """Of all its bytes, 16 hexadecimal digits: of equal weights the same. Empty where only the sample is known."""
    sample: tuple[float, ...]
    """Single elements, at places that its size alone decides."""
    rows: str = ""
    """Which rows were read, as a digest of their numbers; empty for all of it."""


def sampled_places(numel: int) -> npt.NDArray[np.int64]:
    """Where the elements of a sample stand among all of a weight's, spread over it and in no step of its rows."""
    import numpy as np

    if numel <= SAMPLED:
        return np.arange(numel)
    order = np.arange(SAMPLED)
    places: npt.NDArray[np.int64] = ((order + order * _GOLDEN % 1.0) * (numel / SAMPLED)).astype(np.int64)
    return np.minimum(places, numel - 1)


WeightPrints = Mapping[str, WeightPrint]
"""By the name of the parameter, as published files have it; of one of many experts `NAME[17]`."""
