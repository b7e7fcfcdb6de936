"""Faults of a matrix product: its weight transposed or its columns moved, its bias left out, its matrix another one."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.arrays import Both, Numbers
from tracetui.analysis.diff.hints.rope.positions import rope_layout
from tracetui.analysis.diff.hints.scene import EXPLAINED, Hint, Scene, explains, left_over
from tracetui.analysis.diff.hints.weights.swapped import swapped

_TOKENS = 64
"""Rows that are looked at where products of rows with rows are needed."""
_UNLIKE = 0.3
"""From how far apart on, relative, each token's logits are of another matrix."""
_OFTEN = 0.9
_FEWEST = 3
"""Rows without which a pattern proves nothing."""


def transposed(scene: Scene) -> Hint | None:
    """y = x·W on one side and x·Wᵀ on the other: then y·xᵀ of one side is the transpose of the other's, for any W."""
    x, y = _input_rows(scene), scene.target.rows()
    if x is None or x.shape != y.a.shape or len(x) < _FEWEST:
        return None
    rows = x[:_TOKENS], y.a[:_TOKENS], y.b[:_TOKENS]  # [N,D] each
    # Less their means over the tokens, a bias makes no difference.
    for one, own, other in (rows, tuple(side - side.mean(axis=0) for side in rows)):
        a, b = own @ one.T, other @ one.T  # [N,N]
        if explains(a, b.T, b):
            break
    else:
        return None
    left = left_over(a, b.T, b)
    return Hint(
        "transposed-weight",
        "The weight is transposed on one side",
        f"y·xᵀ over {len(x)} tokens is the other side's transposed, to {left:.1e} of their difference.",
    )


def _input_rows(scene: Scene) -> Numbers | None:
    """What the product is taken with [N,D]; heads [B,H,T,K] put side by side."""
    if scene.record.role:
        return None
    heads = next((fed for fed in scene.fed.found if fed.pair.record.role == "heads"), None)
    found = scene.fed_by_as_many() if heads is None else scene.both(heads)
    if found is None:
        return None
    x = found.a
    if heads is not None and x.ndim == 4:
        x = x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)  # [B,T,H·K]
    return x.reshape(-1, x.shape[-1]) if x.ndim > 1 else None


def permuted(scene: Scene) -> Hint | None:
    """The same columns in another order, one order for all tokens."""
    found = scene.target.rows()
    if (
        len(found.a) < _FEWEST
        or found.a.shape[1] < _FEWEST
        or rope_layout(scene) is not None
        or swapped(scene) is not None
    ):
        return None
    if scene.leaf == ":heads":
        return None  # no weight makes them
    order = _order(found)
    if order is None or not explains(found.a, found.b[:, order], found.b):
        return None
    moved = int((order != np.arange(len(order))).sum())
    first = int(np.flatnonzero(order != np.arange(len(order)))[0])
    return Hint(
        "permuted-weight",
        "The columns stand in another order: rows of the weight are permuted",
        f"{moved} of {len(order)} columns moved, the same way for all {len(found.a)} tokens: "
        f"A's column {first} is B's {int(order[first])}.",
    )


def _order(found: Both) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """For each column of A's the one of B's that holds the same, as the token with the widest spread has them."""
    row = int(found.b.std(axis=1).argmax())
    order = np.empty(found.a.shape[1], dtype=np.int64)
    order[np.argsort(found.a[row], kind="stable")] = np.argsort(found.b[row], kind="stable")
    return None if (order == np.arange(len(order))).all() else order


def bias(scene: Scene) -> Hint | None:
    """A difference that is the same vector at every token."""
    found = scene.target.rows()
    if scene.record.role or len(found.a) < _FEWEST or found.a.ndim < 2 or len(scene.target.a.shape) < 2:
        return None
    vector = (found.a - found.b).mean(axis=0)  # [D]
    # What hardly varies over the tokens differs by one vector whatever the fault is.
    varied = float(np.linalg.norm(found.b - found.b.mean(axis=0)))
    left = float(np.linalg.norm(found.a - found.b - vector))
    if left > EXPLAINED * varied or not explains(found.a, found.b + vector, found.b):
        return None
    size = float(np.linalg.norm(vector))
    return Hint(
        "bias",
        "A bias is left out, or is another one",
        f"a - b is one vector of norm {size:.3g} at all {len(found.a)} tokens, "
        f"to {left_over(found.a, found.b + vector, found.b):.1e} of it.",
    )


def _of_another_matrix(y: Both) -> bool:
    """Whether two products [N,V] of the same rows are as far apart as those with two matrices, at all elements."""
    unlike = np.linalg.norm(y.a - y.b, axis=1) > _UNLIKE * np.linalg.norm(y.b, axis=1)
    return bool(unlike.all() and (y.a != y.b).mean() > _OFTEN)


def tied_embeddings(scene: Scene) -> Hint | None:
    """Logits made with the embedding matrix on one side only: its rows are known for the prompt's own tokens."""
    hidden, rows = scene.near("model.norm"), scene.near("model.embed_tokens")
    tokens = scene.comparison.a.tokens or scene.comparison.b.tokens
    if scene.leaf not in ("lm_head", "logits") or hidden is None or rows is None or len(tokens) != 1:
        return None
    h, e = scene.both(hidden), scene.both(rows)
    ids = [token.id for token in tokens[0]]
    width = scene.target.a.shape[-1]
    if h is None or e is None or e.a.shape[-2] != len(ids) or h.a.shape[-1] != e.a.shape[-1] or max(ids) >= width:
        return None
    first = sorted({token: place for place, token in reversed(list(enumerate(ids)))}.items())
    known = [token for token, _ in first]
    places = [place for _, place in first]
    if len(known) < _FEWEST:
        return None
    tied = h.a.reshape(-1, h.a.shape[-1]) @ e.a.reshape(len(ids), -1)[places].T  # [T,n]
    y = scene.target.rows()
    if len(y.a) != len(tied):
        return None
    a, b = y.a[:, known], y.b[:, known]
    sides = [explains(a, tied, b), explains(b, tied, a)]
    if sides[0] == sides[1] or not _of_another_matrix(y):
        return None
    side, other = ("A", "B") if sides[0] else ("B", "A")
    return Hint(
        "tied-embeddings",
        f"{side}'s logits are made with the embedding matrix, {other}'s with another",
        f"for the {len(known)} tokens of the prompt, {side}'s logits are the final norm times their embeddings, "
        f"to {left_over(a, tied, b) if sides[0] else left_over(b, tied, a):.1e} of the difference.",
    )
