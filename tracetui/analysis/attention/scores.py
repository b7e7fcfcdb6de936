"""The scores of one attention head, computed again from what its kernel received, where they are the model's.

Kernels fuse the scores away, and keeping them would cost heads·T·S values a layer. q, k, the mask and the
call's parameters are enough to have any head's scores in float32 when somebody looks at it. Whoever looks, on the
screen, from Python, in a report or a condition, does so through `AttentionView`, which gives no matrix that doesn't
explain what the kernel returned.
"""

from __future__ import annotations

import numpy as np

from tracetui.analysis.attention.call import Hidden, Matrix, RecordedCall
from tracetui.analysis.attention.heads import UnexplainedError, explained
from tracetui.analysis.attention.kinds import Kind
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace

__all__ = ["AttentionView", "Hidden", "Matrix", "attention_at"]


class AttentionView(RecordedCall):
    """One call of one attention module, of which only matrices are shown that are the model's."""

    def matrix(self, kind: Kind, head: int, batch: int = 0) -> Matrix:
        """One head's [T,S] in float32: scaled scores, the same with hidden cells -inf, or softmax's rows.

        Where the model itself computed them step by step they are its own, with the edits that they had. Raises
        UnexplainedError where softmax(scores)·V isn't what the kernel returned: then they are not the model's.
        """
        masked, probabilities = explained(self, head, batch)
        if kind == "scores":
            return self._scores_of(masked, head, batch)
        return masked if kind == "masked" else probabilities

    def _scores_of(self, masked: Matrix, head: int, batch: int) -> Matrix:
        """A head's scores before the mask, which the masked ones [T,S] were made from as far as that is known."""
        scores = self.scores(head, batch)
        if self.beside("masked") is None or self.beside("scores") is not None or self.call.unexplained:
            return scores
        seen = np.isfinite(masked) & np.isfinite(scores)
        if not np.allclose(scores[seen], masked[seen], rtol=2**-6, atol=2**-6):
            raise UnexplainedError(
                self.site, "what made :masked of q·k isn't known; :masked and :probs are the model's"
            )
        return scores

    def plane(self, kind: Kind, head: int, batch: int = 0) -> tuple[Matrix, Hidden]:
        """A matrix to be drawn [T,S], and which of its cells the mask hides; none of the scores before it."""
        masked, probabilities = explained(self, head, batch)
        if kind == "scores":
            return self._scores_of(masked, head, batch), np.zeros(masked.shape, bool)
        hidden = np.isneginf(masked)
        # A row that is hidden whole may have its shares all the same.
        return (masked, hidden) if kind == "masked" else (probabilities, hidden & (probabilities == 0))


def attention_at(trace: Trace, record: Record) -> AttentionView | None:
    """The attention call that a record belongs to: at the module itself or anywhere inside; None if there is none."""
    path = record.module
    while path:
        if view := _view(trace, path, record):
            return view
        path = path.rpartition(".")[0]
    return None


def _view(trace: Trace, path: str, record: Record) -> AttentionView | None:
    at = record.ending
    if record.part and (not record.role or record.module != path or trace.find(f"{path}:q{at}") is None):
        # No input or matrix of a module's second kernel, but a further tensor that something returned.
        at = at.removeprefix(f"#{record.part}")
    query, key = trace.find(f"{path}:q{at}"), trace.find(f"{path}:k{at}")
    if query is None or key is None or query.key not in trace.attention:
        return None
    mask, sinks, bias = (trace.find(f"{path}:{role}{at}") for role in ("mask", "sinks", "position_bias"))
    view = AttentionView(trace, query, key, mask, trace.attention[query.key], sinks, bias)
    return view if _goes_together(view) else None


def _goes_together(view: AttentionView) -> bool:
    """Whether the shapes fit together in one call; in a file, tensors of any shape may have these names."""
    query, key = view.query.shape, view.key.shape
    if len(query) != 4 or len(key) != 4 or 0 in (*query, *key):
        return False
    batch, heads, queries, width = query
    alike = (key[0], key[3]) == (batch, width) and heads % key[1] == 0
    masks = (view.mask, view.position_bias)
    fit = all(_fits(record, (batch, heads, queries), key[2]) for record in masks)
    return alike and fit and _is_sinks(view.sinks, (batch, heads, queries))


def _fits(mask: Record | None, sizes: tuple[int, int, int], keys: int) -> bool:
    """[B,H,T,S], any of the first three perhaps 1; a cache's may be longer than the keys."""
    if mask is None:
        return True
    fits = len(mask.shape) == 4 and all(found in (1, size) for found, size in zip(mask.shape, sizes, strict=False))
    return fits and (mask.shape[3] == 1 or mask.shape[3] >= keys or mask.role == "position_bias")


def _is_sinks(sinks: Record | None, sizes: tuple[int, int, int]) -> bool:
    batch, heads, queries = sizes
    return sinks is None or sinks.shape in ((heads,), (batch, heads, queries, 1))
