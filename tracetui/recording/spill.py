"""Values that lie on disk while a run goes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracetui.recording.spill_file import SpillFile
from tracetui.recording.statistics import Statistics
from tracetui.recording.value import Array, Decode, Index, StatisticsValue, Value


@dataclass(frozen=True, eq=False, slots=True)
class SpilledValue:
    """A tensor in a spill file, as its own dtype's bytes; `decode` makes numbers of what numpy has no dtype for."""

    file: SpillFile
    offset: int
    stored: np.dtype[np.generic]
    shape: tuple[int, ...]
    dtype: str
    known: Statistics
    decode: Decode | None = None

    def read(self, index: Index = ()) -> Array:
        part = self.file.array(self.offset, self.stored, self.shape)[index]
        return np.array(part) if self.decode is None else np.asarray(self.decode(part))

    def statistics(self) -> Statistics:
        return self.known


def whereabouts(value: Value) -> str:
    """What became of a value that isn't simply there: `spilled to disk`, `statistics only`; else empty."""
    if isinstance(value, SpilledValue):
        return "spilled to disk"
    return "statistics only" if isinstance(value, StatisticsValue) else ""
