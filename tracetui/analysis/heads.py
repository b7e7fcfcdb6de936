"""The identity of attention: softmax(scores)·V is each head's recorded output."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from tracetui.analysis.attention import AttentionView
from tracetui.analysis.identity import Identity, dot_size, identity
from tracetui.analysis.mla import latent_of
from tracetui.trace.record import ABSORBED, BEFORE_EDIT
from tracetui.trace.value import Array, is_kept


def head_identity(view: AttentionView, head: int, batch: int = 0) -> Identity | None:
    """softmax(scores)·V [T,Kv] against the recorded output of one head; None without v or the output, or their values.

    Queries that see no key are left out: some kernels give 0 there, others the mean.
    """
    # An edit of the output says nothing of the kernel: its own stands before it.
    value, output = view.beside("v"), view.beside(f"heads:{BEFORE_EDIT}") or view.beside("heads")
    if value is None or output is None or not all(is_kept(view.trace.value(record)) for record in (value, output)):
        return None
    v = view.trace.value(value).read((batch, view.kv_head(head))).astype(np.float32)  # [S,Kv]
    recorded = view.trace.value(output).read((batch, head))  # [T,Kv]
    scores = view.matrix("masked", head, batch)  # [T,S]
    found = view.probabilities(scores, head, batch) @ v  # [T,Kv]
    seeing = ~np.isneginf(scores).all(axis=1)  # [T]
    roundings = 2 if view.call.kernel == ABSORBED else 1  # of the mixed values; absorbed, of the mixed latent before
    scale = _largest(v) * (roundings + _score_error(view, head, batch, scores, output.dtype))
    return identity(found[seeing], recorded[seeing], output.dtype, scale)


def all_heads_identity(view: AttentionView, cancelled: Callable[[], bool] = lambda: False) -> Identity | None:
    """The same of every head of every prompt: the one that is farthest beyond its tolerance, or nearest to it.

    None also when `cancelled`, which is asked before each head, says so.
    """
    found = []
    for batch, head in product(range(view.batch), range(view.heads)):
        if cancelled():
            return None
        if (one := head_identity(view, head, batch)) is not None:
            found.append(one)
    return worst(found)


def worst(identities: list[Identity]) -> Identity | None:
    """The one whose difference is the largest share of its tolerance; a broken one before any other."""
    return max(identities, key=lambda one: (not one.holds, one.difference / (one.tolerance or 1.0)), default=None)


def _score_error(view: AttentionView, head: int, batch: int, scores: Array, dtype: str) -> float:
    """How large what was added up and rounded on the way to a score was: softmax passes a score's error on.

    sdpa keeps scores in float32; eager attention in float16 or bfloat16 rounds the scores themselves. Scores from the
    latent differ from those of q and k by the roundings of the absorbed query and of the expanded keys.
    """
    if view.call.kernel == ABSORBED and (latent := latent_of(view)) is not None:
        return latent.sizes(head, batch) + _largest(scores)
    if dtype in ("float32", "float64"):
        q = view.trace.value(view.query).read((batch, head))  # [T,K]
        k = view.trace.value(view.key).read((batch, view.kv_head(head)))  # [S,K]
        return dot_size(q, k) * abs(view.call.scale)
    return _largest(scores) if view.call.kernel == "eager" else 0.0


def _largest(array: Array) -> float:
    sizes = np.abs(array)
    return float(sizes.max(initial=0.0, where=np.isfinite(sizes)))
