"""Latent attention's two ways to one score, compared from what was recorded, and what each has to cache.

Naive: a key and a value for every head, expanded from the latent. Absorbed: the latent and one rotary key for all
heads, with the expansion's key half folded into the query. Systems differ in which they run; the scores are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tracetui.analysis.attention.call import Matrix, RecordedCall
from tracetui.analysis.identity import Identity, dot_size, identity, long_sum
from tracetui.analysis.memory import ITEMSIZE
from tracetui.recording.record import Record, layer_of
from tracetui.recording.value import is_kept

LatentKind = Literal["kv_latent", "k_rope", "absorbed_scores", "difference"]
LATENT_KINDS: tuple[LatentKind, ...] = ("kv_latent", "k_rope", "absorbed_scores", "difference")
"""What a call of latent attention shows beside scores, masked scores and probabilities."""


@dataclass(frozen=True, eq=False, slots=True)
class LatentView:
    """One call of a latent attention module."""

    attention: RecordedCall
    latent: Record
    """`…:kv_latent`, [B,S,R]: normed, as kv_b_proj expands it."""
    rope: Record
    """`…:k_rope`, [B,S,rope]: the key part with positions, the same for all heads."""
    absorbed: Record
    """`…:q_absorbed`, [B,H,T,R]."""

    @property
    def rank(self) -> int:
        return self.latent.shape[-1]

    @property
    def rope_width(self) -> int:
        return self.rope.shape[-1]

    @property
    def nope_width(self) -> int:
        return self.attention.query.shape[-1] - self.rope_width

    def matrix(self, kind: LatentKind, head: int, batch: int = 0) -> Matrix:
        """A plane of what is kept or computed: [S,R], [S,rope], or a head's absorbed scores or difference [T,S]."""
        match kind:
            case "kv_latent":
                return self.latent_rows(batch)
            case "k_rope":
                return self.rope_rows(batch)
            case "absorbed_scores":
                return self.scores(head, batch)
            case "difference":
                return self.difference(head, batch)

    def latent_rows(self, batch: int = 0) -> Matrix:
        """The latent of every key [S,R]."""
        return self._read(self.latent, batch)

    def rope_rows(self, batch: int = 0) -> Matrix:
        """The rotary key of every key [S,rope]."""
        return self._read(self.rope, batch)

    def scores(self, head: int, batch: int = 0) -> Matrix:
        """One head's scores [T,S] computed the absorbed way: over the latent and the rotary key."""
        products = self._query(head, batch) @ self._cached(batch).T  # [T,S]
        return self.attention.scaled(products)

    def difference(self, head: int, batch: int = 0) -> Matrix:
        """Naive minus absorbed scores [T,S]."""
        signed: Matrix = self.attention.computed_scores(head, batch) - self.scores(head, batch)
        return signed

    def two_ways(self, head: int, batch: int = 0) -> Identity:
        """How far apart the two ways are for a head, and how far rounding of the model's dtype may bring them."""
        view = self.attention
        found, expected = self.scores(head, batch), view.computed_scores(head, batch)
        return identity(found, expected, view.query.dtype, self.sizes(head, batch))

    def sizes(self, head: int, batch: int = 0) -> float:
        """The size of what both ways to a head's scores add up, as rounding grows with it."""
        view = self.attention
        key = view.trace.value(view.key).read((batch, view.kv_head(head)))  # [S,K]
        naive = dot_size(self._read(view.query, batch, head), key)
        both = naive + dot_size(self._query(head, batch), self._cached(batch))
        return both * abs(view.call.scale) * long_sum(self.rank, view.query.dtype)

    def _query(self, head: int, batch: int) -> Matrix:
        rotary = self._read(self.attention.query, batch, head)[:, self.nope_width :]  # [T,rope]
        return np.concatenate((self._read(self.absorbed, batch, head), rotary), axis=1)  # [T,R+rope]

    def _cached(self, batch: int) -> Matrix:
        return np.concatenate((self.latent_rows(batch), self.rope_rows(batch)), axis=1)  # [S,R+rope]

    def _read(self, record: Record, *index: int) -> Matrix:
        return self.attention.trace.value(record).read(index).astype(np.float32)


def latent_of(view: RecordedCall) -> LatentView | None:
    """What was recorded of the latent behind an attention call; None where there is none, or not all of it (yet)."""
    latent, rope, absorbed = (view.beside(role) for role in ("kv_latent", "k_rope", "q_absorbed"))
    if latent is None or rope is None or absorbed is None:
        return None
    if not all(is_kept(view.trace.value(record)) for record in (latent, rope, absorbed)):
        return None
    return LatentView(view, latent, rope, absorbed)


@dataclass(frozen=True, slots=True)
class CacheCost:
    """Bytes that a cache takes for one token in one layer, and how many such layers the model has."""

    naive: int
    """Every head's own key, both parts, and value: H·((nope+rope)+Kv) values."""
    absorbed: int
    """The latent and the rotary key: R+rope values."""
    multi_head: int
    """Plain attention with as many heads of the value's size: 2·H·Kv values."""
    layers: int
    dtype: str

    @property
    def saving(self) -> float:
        """How many times the absorbed cache fits into the naive one."""
        return self.naive / self.absorbed


def cache_cost(view: LatentView, config: Mapping[str, object]) -> CacheCost:
    """What one token costs in the recorded dtype; the number of layers is the configuration's, not the run's."""
    attention, value = view.attention, view.attention.beside("v")
    heads, key = attention.heads, view.nope_width + view.rope_width
    width = value.shape[-1] if value else view.nope_width
    size = ITEMSIZE.get(attention.query.dtype, 1)
    return CacheCost(
        naive=heads * (key + width) * size,
        absorbed=(view.rank + view.rope_width) * size,
        multi_head=2 * heads * width * size,
        layers=_layers(view, config),
        dtype=attention.query.dtype,
    )


def _layers(view: LatentView, config: Mapping[str, object]) -> int:
    """Attention modules of the whole model; some families have two in a layer. Without a count, those recorded."""
    if isinstance(said := config.get("num_hidden_layers"), int):
        return said
    paths = {key.partition(":")[0] for key in view.attention.trace.attention}
    if isinstance(said := config.get("num_layers"), int):
        layer = layer_of(view.attention.site)
        return said * sum(layer_of(path) == layer for path in paths)
    return len(paths)
