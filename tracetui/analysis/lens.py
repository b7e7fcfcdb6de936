"""What each layer's residual would predict, as one table over layers and positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import is_kept


@dataclass(frozen=True, eq=False, slots=True)
class LensTable:
    """One row of the batch in one pass: L layers, T positions, k tokens each, the most probable first."""

    layers: tuple[int, ...]
    """[L] as the checkpoint counts them."""
    positions: range
    """Of the row, one a column."""
    ids: npt.NDArray[np.int64]
    """[L,T,k]"""
    probs: npt.NDArray[np.float32]
    """[L,T,k]"""


def lens_table(trace: Trace, pass_: int, batch: int = 0, frontier: int | None = None) -> LensTable | None:
    """The lens of a pass as far as it is recorded, and kept; None where there is none.

    Columns of padding are left out. With a `frontier` only so many records are looked at.
    """
    records = trace.records[:frontier]
    both: dict[str, dict[int, Record]] = {"lens_ids": {}, "lens_probs": {}}
    for record in records:
        if record.pass_ == pass_ and record.role in both and record.layer is not None and is_kept(trace.value(record)):
            both[record.role][record.layer] = record
    layers = tuple(sorted(both["lens_ids"].keys() & both["lens_probs"].keys()))
    if not layers:
        return None
    ids, probs = (
        np.stack([trace.value(by_layer[layer]).read((batch,)) for layer in layers]) for by_layer in both.values()
    )
    positions = _positions(trace, pass_, batch, ids.shape[1])
    return LensTable(layers, positions, ids[:, : len(positions)], probs[:, : len(positions)].astype(np.float32))


def _positions(trace: Trace, pass_: int, batch: int, computed: int) -> range:
    """The positions of a row that a pass computed, without its padding."""
    if batch >= len(trace.tokens):
        return range(computed)
    start = trace.positions(pass_).start
    return range(start, min(start + computed, len(trace.tokens[batch])))
