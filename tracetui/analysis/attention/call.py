"""The arithmetic of one recorded attention call: scores, mask and softmax of a head, as its kernel computes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracetui.analysis.attention.kinds import KINDS, Kind
from tracetui.recording.health import LARGEST
from tracetui.recording.record import AttentionCall, Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, is_kept

Matrix = npt.NDArray[np.float32]
Hidden = npt.NDArray[np.bool_]
_LOWEST = {"float32": float(np.finfo(np.float32).min), **{dtype: -largest for dtype, largest in LARGEST.items()}}
_NOTHING_LEFT = np.float32(-1e30)
"""What hides a key whatever its score is, also where a model divides its mask by the scale."""


@dataclass(frozen=True, eq=False)
class RecordedCall:
    """One call of one attention module, whose matrices are computed from what its kernel received."""

    trace: Trace
    query: Record
    """`…:q`, [B,H,T,K]."""
    key: Record
    """`…:k`, [B,G,S,K]."""
    mask: Record | None
    """`…:mask`, [B,1 or H,T,S]; None when none was passed."""
    call: AttentionCall
    sinks: Record | None = None
    """`…:sinks`, [H] or [B,H,T,1]: logits that take their share of the softmax and give nothing."""
    position_bias: Record | None = None
    """`…:position_bias`, [B,H,T,S], any of them perhaps 1: added to the scaled scores before the mask."""

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
        return self.trace.find(f"{self.site}:{role}{self.query.ending}")

    def inside(self, name: str) -> Record | None:
        """What a module within this one returned in the same call: `q_proj`; None if it wasn't recorded."""
        _, at, suffix = self.query.key.partition("@")
        return self.trace.find(f"{self.site}.{name}{at}{suffix}")

    def computed(self, kind: Kind, head: int, batch: int = 0) -> Matrix:
        """One head's [T,S], unchecked: `AttentionView.matrix` gives it where it is the model's."""
        if kind != "probs":
            return self.scores(head, batch) if kind == "scores" else self.masked(head, batch)
        return self.probabilities(self.masked(head, batch), head, batch)

    def scores(self, head: int, batch: int = 0) -> Matrix:
        """Scaled scores [T,S] before the mask, with the position bias where there is one."""
        found = self._recorded("scores", head, batch)
        return self.computed_scores(head, batch) if found is None else found

    def masked(self, head: int, batch: int = 0) -> Matrix:
        """The same with hidden cells -inf."""
        if (found := self._recorded("masked", head, batch)) is not None:
            return self._with_hidden(found)
        sums, hidden = self._summed(self.scores(head, batch), head, batch)
        return np.where(hidden, np.float32(-np.inf), sums)

    def probabilities(self, masked: Matrix, head: int, batch: int = 0) -> Matrix:
        """Softmax of a head's masked scores [T,S]. A row that is hidden whole is what its kernel makes of it.

        sdpa gives 0 for it; eager attention, which hides by adding the lowest number of a dtype, the same share to
        every key, and NaN where it adds -inf. Where there is a sink, rows sum to less than 1.
        """
        if (found := self._recorded("probs", head, batch)) is not None:
            return found
        blind = np.isneginf(masked).all(axis=1)  # [T]
        if blind.any() and self.mask is not None:
            masked = masked.copy()
            masked[blind] = self._summed(self.scores(head, batch), head, batch)[0][blind]
        if self.sinks is None:
            return softmax(masked, blind_rows=0.0 if self.call.kernel == "sdpa" else np.nan)
        column = np.broadcast_to(self._sinks(head, batch), (len(masked), 1))  # [T,1]
        return softmax(np.concatenate((masked, column), axis=1))[:, :-1]  # [T,S]

    def _sinks(self, head: int, batch: int) -> Matrix:
        assert self.sinks is not None
        index = (head,) if len(self.sinks.shape) == 1 else (min(batch, self.sinks.shape[0] - 1), head)
        return self.trace.value(self.sinks).read(index).astype(np.float32)  # [] or [T,1]

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

    def _with_hidden(self, masked: Matrix) -> Matrix:
        """Masked scores [T,S] as a model has them: eager attention hides by the lowest number of its dtype."""
        record = self.beside("masked")
        lowest = _LOWEST.get(record.dtype if record is not None else "", _LOWEST["float32"])
        return np.where(masked <= max(lowest / 2, float(_NOTHING_LEFT)), np.float32(-np.inf), masked)

    def computed_scores(self, head: int, batch: int = 0) -> Matrix:
        """Scores [T,S] as q, k and the position bias give them, whatever was made of them afterwards."""
        q = self.trace.value(self.query).read((batch, head)).astype(np.float32)  # [T,K]
        k = self.trace.value(self.key).read((batch, self.kv_head(head))).astype(np.float32)  # [S,K]
        with np.errstate(over="ignore", invalid="ignore"):
            products = q @ k.T
        return self.with_bias(self.scaled(products), head, batch)  # [T,S]

    def scaled(self, products: Matrix) -> Matrix:
        """Products q·k [T,S] as this call's scores: times its scale, and within its softcap."""
        with np.errstate(all="ignore"):  # a file may name a scale or a softcap that float32 has no room for
            scores: Matrix = products * np.float32(self.call.scale)  # [T,S]
            if self.call.softcap:
                scores = np.tanh(scores / np.float32(self.call.softcap)) * np.float32(self.call.softcap)
        return scores

    def with_bias(self, scores: Matrix, head: int, batch: int) -> Matrix:
        """Scaled scores [T,S] with the position bias; one for fewer keys leaves those at the end, which are hidden."""
        if self.position_bias is None:
            return scores
        bias = self._plane(self.position_bias, head, batch).astype(np.float32)  # [T or 1,S or less]
        width = min(bias.shape[1], scores.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            if bias.shape[1] == 1:
                return scores + bias
            return np.concatenate((scores[:, :width] + bias[:, :width], scores[:, width:]), axis=1)

    def _summed(self, scores: Matrix, head: int, batch: int) -> tuple[Matrix, Hidden]:
        """What goes into the softmax [T,S], and which cells the mask hides.

        A boolean mask chooses; with a position bias sdpa is given the lowest number instead. Any other is added.
        """
        if self.mask is None:
            sums = causal(scores) if self.call.is_causal else scores  # [T,S]
            return sums, np.isneginf(sums)
        mask = self._plane(self.mask, head, batch)[:, : scores.shape[1]]  # [T or 1,S]
        if mask.dtype == np.bool_:
            left = -np.inf if self.position_bias is None else _LOWEST["float32"]
            return np.where(mask, scores, np.float32(left)), np.broadcast_to(~mask, scores.shape)
        lowest = _LOWEST.get(self.mask.dtype, _LOWEST["float32"])
        hidden = np.broadcast_to(mask <= (lowest if self.mask.dtype == "float16" else _NOTHING_LEFT), scores.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            sums = scores.astype(mask.dtype) + mask if mask.dtype == np.float16 else scores + mask.astype(np.float32)
        return sums.astype(np.float32), hidden

    def _plane(self, record: Record, head: int, batch: int) -> Array:
        """A head's [T,S] of a tensor whose first axes may be 1."""
        return self.trace.value(record).read((min(batch, record.shape[0] - 1), min(head, record.shape[1] - 1)))


def causal(scores: Matrix) -> Matrix:
    """Scores [T,S] with the keys after each query's own position -inf, counted from the first, whatever S is.

    So is is_causal meant: transformers leaves the mask out where the keys are the queries' own, or where a static
    cache that was empty has room for more behind them.
    """
    queries, keys = scores.shape
    ahead = np.arange(keys)[None, :] > np.arange(queries)[:, None]  # [T,S]
    return np.where(ahead, np.float32(-np.inf), scores)


def softmax(masked: Matrix, blind_rows: float = 0.0) -> Matrix:
    """Softmax over the last axis in float32; a row of -inf alone becomes `blind_rows`."""
    with np.errstate(over="ignore", invalid="ignore"):  # scores may be infinite, or too far apart for float32
        top = masked.max(axis=-1, keepdims=True)  # [T,1]
        weights = np.exp(masked - np.where(np.isfinite(top), top, np.float32(0)))  # [T,S]
        total = weights.sum(axis=-1, keepdims=True)  # [T,1]
        rows: Matrix = np.divide(weights, total, out=np.full_like(weights, blind_rows), where=total > 0)
    return np.where(np.isnan(total), np.float32(np.nan), rows)
