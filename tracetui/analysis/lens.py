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
    """One row of the batch in one or more passes: L layers, T positions, k tokens each, the most probable first."""

    layers: tuple[int, ...]
    """[L] as the checkpoint counts them."""
    positions: range
    """Of the row, one a column."""
    ids: npt.NDArray[np.int64]
    """[L,T,k]"""
    probs: npt.NDArray[np.float32]
    """[L,T,k]"""


_Layers = dict[str, dict[int, Record]]
"""By role and layer, the records of one pass."""


def lens_table(trace: Trace, pass_: int, batch: int = 0, frontier: int | None = None) -> LensTable | None:
    """The lens of a pass as far as it is recorded, and kept; None where there is none.

    Columns of padding are left out. With a `frontier` only so many records are looked at.
    """
    both = _by_pass(trace, frontier).get(pass_)
    return None if both is None else _table(trace, pass_, both, batch)


def joined_lens(trace: Trace, batch: int = 0, frontier: int | None = None) -> LensTable | None:
    """The lens of all passes of a generation beside each other, as far as each goes on where the one before ended.

    None where no pass has one.
    """
    joined: list[LensTable] = []
    for pass_, both in sorted(_by_pass(trace, frontier).items()):
        table = _table(trace, pass_, both, batch)
        if table is None:
            continue
        if joined and not _goes_on(joined[-1], table):
            break
        joined.append(table)
    if not joined:
        return None
    ids, probs = (np.concatenate([getattr(table, name) for table in joined], axis=1) for name in ("ids", "probs"))
    return LensTable(joined[0].layers, range(joined[0].positions.start, joined[-1].positions.stop), ids, probs)


def _by_pass(trace: Trace, frontier: int | None) -> dict[int, _Layers]:
    """The records of the lens whose values are kept."""
    passes: dict[int, _Layers] = {}
    for record in trace.records[:frontier]:
        if record.role in ("lens_ids", "lens_probs") and record.layer is not None and is_kept(trace.value(record)):
            both = passes.setdefault(record.pass_, {"lens_ids": {}, "lens_probs": {}})
            both[record.role][record.layer] = record
    return passes


def _table(trace: Trace, pass_: int, both: _Layers, batch: int) -> LensTable | None:
    layers = tuple(sorted(both["lens_ids"].keys() & both["lens_probs"].keys()))
    if not layers:
        return None
    ids, probs = (
        np.stack([trace.value(by_layer[layer]).read((batch,)) for layer in layers]) for by_layer in both.values()
    )
    positions = _positions(trace, pass_, batch, ids.shape[1])
    return LensTable(layers, positions, ids[:, : len(positions)], probs[:, : len(positions)].astype(np.float32))


def _goes_on(before: LensTable, after: LensTable) -> bool:
    """Whether a pass computed what comes behind, with the same layers and as many tokens each."""
    same = before.layers == after.layers and before.ids.shape[2] == after.ids.shape[2]
    return same and before.positions.stop == after.positions.start


def _positions(trace: Trace, pass_: int, batch: int, computed: int) -> range:
    """The positions of a row that a pass computed, without its padding."""
    if batch >= len(trace.tokens):
        return range(computed)
    start = trace.positions(pass_).start
    return range(start, min(start + computed, len(trace.tokens[batch])))
