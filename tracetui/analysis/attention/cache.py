"""What a cache takes after a pass, both ways where attention has a latent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tracetui.analysis.memory import ITEMSIZE
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace


@dataclass(frozen=True, slots=True)
class LatentCache:
    """Bytes of what attention with a latent has to keep for all positions so far, in the recorded layers."""

    naive: int
    """Every head's own keys and values."""
    absorbed: int
    """The latents and the rotary keys."""


def latent_cache(trace: Trace, pass_: int) -> LatentCache | None:
    """What the two ways of latent attention keep after a pass; None where no attention has a latent."""
    found = {
        record.key: record
        for record in trace.records
        if record.pass_ == pass_ and record.role in ("k", "v", "kv_latent", "k_rope")
    }
    paths = {record.module for record in found.values() if record.role == "kv_latent"}
    if not paths:
        return None
    ours = [record for record in found.values() if record.module in paths]
    naive = _bytes(record for record in ours if record.role in ("k", "v"))
    return LatentCache(naive, _bytes(record for record in ours if record.role in ("kv_latent", "k_rope")))


def _bytes(records: Iterable[Record]) -> int:
    return sum(record.numel * ITEMSIZE.get(record.dtype, 1) for record in records)
