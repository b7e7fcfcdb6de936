"""The scores of one attention head, computed again from what its kernel received.

Kernels fuse the scores away, and keeping them would cost heads·T·S values a layer. q, k, the mask and the
call's parameters are enough to have any head's scores in float32 when somebody looks at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tracetui.trace.health import LARGEST
from tracetui.trace.record import AttentionCall, Record
from tracetui.trace.trace import Trace
from tracetui.trace.value import is_kept

Kind = Literal["scores", "masked", "probs"]
KINDS: tuple[Kind, ...] = ("scores", "masked", "probs")
Matrix = npt.NDArray[np.float32]
_LOWEST = {"float32": float(np.finfo(np.float32).min), **{dtype: -largest for dtype, largest in LARGEST.items()}}


@dataclass(frozen=True, eq=False)
class AttentionView:
    """One call of one attention module."""

    trace: Trace
    query: Record
    """`…:q`, [B,H,T,K]."""
    key: Record
    """`…:k`, [B,G,S,K]."""
    mask: Record | None
    """`…:mask`, [B,1 or H,T,S]; None when none was passed."""
    call: AttentionCall
    sinks: Record | None = None
    """`…:sinks`, [H]: a logit per head that takes its share of the softmax and gives nothing."""

    @property
    def site(self) -> str:
        return self.query.module

    @property
    def batch(self) -> int:
        return self.query.shape[0]

    @property
    def heads(self) -> int:
        return self.query.shape[1]

    @property
    def kv_heads(self) -> int:
        return self.key.shape[1]

    def kv_head(self, head: int) -> int:
        """The key-value head that a query head shares."""
        return head * self.kv_heads // self.heads

    def beside(self, role: str) -> Record | None:
        """What else was recorded of this call: `v`, `heads`, …; None if it wasn't, or not yet."""
        return self._find(f"{self.site}:{role}")

    def inside(self, name: str) -> Record | None:
        """What a module within this one returned in the same call: `q_proj`; None if it wasn't recorded."""
        return self._find(f"{self.site}.{name}")

    def _find(self, site: str) -> Record | None:
        _, at, suffix = self.query.key.partition("@")
        return self.trace.find(f"{site}{at}{suffix}")

    def matrix(self, kind: Kind, head: int, batch: int = 0) -> Matrix:
        """One head's [T,S] in float32: scaled scores, the same with hidden cells -inf, or softmax's rows.

        Where the model itself computed them step by step they are its own, with the edits that they had. A row that is
        hidden whole has probabilities 0; where there is a sink, rows sum to less than 1.
        """
        if (found := self._recorded(kind, head, batch)) is not None:
            return self._hidden(found) if kind == "masked" else found
        if kind == "scores":
            return self.computed_scores(head, batch)
        before = self.matrix("scores" if kind == "masked" else "masked", head, batch)  # [T,S]
        return self._masked(before, head, batch) if kind == "masked" else self.probabilities(before, head, batch)

    def probabilities(self, masked: Matrix, head: int, batch: int = 0) -> Matrix:
        """Softmax of a head's masked scores [T,S]: `matrix("probs")` for who has these already."""
        if (found := self._recorded("probs", head, batch)) is not None:
            return found
        if self.sinks is None:
            return softmax(masked)
        sink = np.float32(self.trace.value(self.sinks).read((head,)))
        column = np.full((len(masked), 1), sink, dtype=np.float32)  # [T,1]
        return softmax(np.concatenate((masked, column), axis=1))[:, :-1]  # [T,S]

    def _recorded(self, kind: Kind, head: int, batch: int) -> Matrix | None:
        """What was recorded of a head [T,S], where it was. Raises NotKeptError where only that would be true."""
        record = self.beside(kind)
        if record is None or record.shape != (*self.query.shape[:3], self.key.shape[2]):
            return None
        if not (is_kept(self.trace.value(record)) or self._edited):
            return None
        return self.trace.value(record).read((batch, head)).astype(np.float32)  # [T,S]

    @property
    def _edited(self) -> bool:
        """Whether something between q·k and the product with v isn't what q and k give."""
        return any(record.edited for kind in KINDS if (record := self.beside(kind)) is not None)

    def _hidden(self, masked: Matrix) -> Matrix:
        """Masked scores [T,S] as a model has them: eager attention hides by the lowest number of its dtype."""
        record = self.beside("masked")
        lowest = _LOWEST.get(record.dtype if record is not None else "", _LOWEST["float32"])
        return np.where(masked <= lowest / 2, np.float32(-np.inf), masked)

    def computed_scores(self, head: int, batch: int = 0) -> Matrix:
        """Scaled scores [T,S] as q and k give them, whatever was made of them afterwards."""
        q = self.trace.value(self.query).read((batch, head)).astype(np.float32)  # [T,K]
        k = self.trace.value(self.key).read((batch, self.kv_head(head))).astype(np.float32)  # [S,K]
        return self.scaled(q @ k.T)  # [T,S]

    def scaled(self, products: Matrix) -> Matrix:
        """Products q·k [T,S] as this call's scores: times its scale, and within its softcap."""
        scores: Matrix = products * np.float32(self.call.scale)  # [T,S]
        if self.call.softcap:
            scores = np.tanh(scores / np.float32(self.call.softcap)) * np.float32(self.call.softcap)
        return scores

    def _masked(self, scores: Matrix, head: int, batch: int) -> Matrix:
        if self.mask is None:
            return causal(scores) if self.call.is_causal else scores
        rows, broadcast = min(batch, self.mask.shape[0] - 1), min(head, self.mask.shape[1] - 1)
        mask = self.trace.value(self.mask).read((rows, broadcast))[:, : scores.shape[1]]  # [T,S]
        if mask.dtype == np.bool_:
            return np.where(mask, scores, np.float32(-np.inf))
        hidden = mask <= np.finfo(np.float32).min / 2 if self.mask.dtype != "float16" else mask <= -65504
        return np.where(hidden, np.float32(-np.inf), scores + mask.astype(np.float32))


def attention_at(trace: Trace, record: Record) -> AttentionView | None:
    """The attention call that a record belongs to: at the module itself or anywhere inside; None if there is none."""
    path = record.module
    while path:
        if view := _view(trace, path, record):
            return view
        path = path.rpartition(".")[0]
    return None


def _view(trace: Trace, path: str, record: Record) -> AttentionView | None:
    suffix = record.key.partition("@")[2]
    at = f"@{suffix}" if suffix else ""
    query, key = trace.find(f"{path}:q{at}"), trace.find(f"{path}:k{at}")
    if query is None or key is None or query.key not in trace.attention:
        return None
    mask, sinks = trace.find(f"{path}:mask{at}"), trace.find(f"{path}:sinks{at}")
    view = AttentionView(trace, query, key, mask, trace.attention[query.key], sinks)
    return view if _goes_together(view) else None


def _goes_together(view: AttentionView) -> bool:
    """Whether the shapes are those of one call: a file may have any under these names."""
    query, key = view.query.shape, view.key.shape
    if len(query) != 4 or len(key) != 4 or 0 in (*query, *key):
        return False
    batch, heads, queries, width = query
    alike = (key[0], key[3]) == (batch, width) and heads % key[1] == 0
    return alike and _is_mask(view.mask, (batch, heads, queries), key[2]) and _is_sinks(view.sinks, heads)


def _is_mask(mask: Record | None, sizes: tuple[int, int, int], keys: int) -> bool:
    """[B,H,T,S], any of the first three perhaps 1; a cache's may be longer than the keys."""
    if mask is None:
        return True
    fits = len(mask.shape) == 4 and all(found in (1, size) for found, size in zip(mask.shape, sizes, strict=False))
    return fits and (mask.shape[3] == 1 or mask.shape[3] >= keys)


def _is_sinks(sinks: Record | None, heads: int) -> bool:
    return sinks is None or sinks.shape == (heads,)


def causal(scores: Matrix) -> Matrix:
    """Scores [T,S] with every key after the query's own position -inf; the queries are the last T positions."""
    queries, keys = scores.shape
    ahead = np.arange(keys)[None, :] > np.arange(queries)[:, None] + (keys - queries)  # [T,S]
    return np.where(ahead, np.float32(-np.inf), scores)


def softmax(masked: Matrix) -> Matrix:
    """Softmax over the last axis in float32; a row of -inf alone becomes 0."""
    top = masked.max(axis=-1, keepdims=True)  # [T,1]
    weights = np.exp(masked - np.where(np.isfinite(top), top, np.float32(0)))  # [T,S]
    total = weights.sum(axis=-1, keepdims=True)  # [T,1]
    rows: Matrix = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return np.where(np.isnan(total), np.float32(np.nan), rows)
