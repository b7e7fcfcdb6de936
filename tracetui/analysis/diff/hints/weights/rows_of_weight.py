"""A matrix, or an embedding, of which only some rows are others: a weight that was read in part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.scene import Hint, Scene

_FEWEST = 3
"""Tokens, and agreeing ones among an embedding's, without which nothing is proven."""
_OFTEN = 0.9
"""The share of elements that another row of a weight moves: some tokens' products may come out alike."""
_MOST_TOLD = 4
_CLEAR = 20.0
"""How many times further off than all others those must be that are off."""
_MATRICES = ("proj", "lm_head", "query_key_value", "dense", "c_attn", "c_proj", "c_fc", "fc1", "fc2")
"""Ends of the names of modules that multiply with a matrix."""


def rows_of_weight(scene: Scene) -> Hint | None:
    """Some columns of a product agree at all tokens, the others don't: only these rows of the weight are others."""
    if not scene.leaf.endswith(_MATRICES) or not scene.fed.agree:
        return None
    target = scene.target.rows()
    off = _off(target.a, target.b, scene.unit, axis=0)  # [D]
    if len(target.a) < _FEWEST or not 0 < off.sum() < len(off) or off.sum() > 0.9 * len(off):
        return None
    if _share_off(target.a[:, off], target.b[:, off], scene.unit) < _OFTEN:
        return None
    places = np.flatnonzero(off)
    evidence = f"{len(places)} of {len(off)} columns are off, the others agree at all {len(target.a)} tokens."
    for side, values in (("A", target.a), ("B", target.b)):
        # Without their weights, only a bias is left of them.
        if float(np.ptp(values[:, places], axis=0).max()) <= scene.unit * float(np.abs(values).max()):
            title = f"{_rows(places)} of {scene.leaf}'s weight are zeros in {side}: they weren't read"
            return Hint("weight-rows", title, evidence)
    return Hint("weight-rows", f"Only {_rows(places).lower()} of {scene.leaf}'s weight are others", evidence)


def embedding_rows(scene: Scene) -> Hint | None:
    """The embeddings of some tokens agree, those of others never do: their rows are others."""
    prompts = scene.comparison.a.tokens or scene.comparison.b.tokens
    if scene.leaf != "embed_tokens" or len(prompts) != 1:
        return None
    ids = np.array([token.id for token in prompts[0]])  # [T]
    target = scene.target.rows()
    if len(target.a) != len(ids):
        return None
    off = _off(target.a, target.b, scene.unit, axis=1)  # [T]
    others = sorted(set(ids[off].tolist()))
    if not others or set(ids[~off].tolist()) & set(others) or (~off).sum() < max(_FEWEST, off.sum()):
        return None
    words = f"{'token' if len(others) == 1 else 'tokens'} {_listed(others)}"
    zero = next((side for side, rows in (("A", target.a), ("B", target.b)) if not rows[off].any()), "")
    title = f"Only the embedding of {words} is another" + (f": it is zero in {zero}" if zero else "")
    if not zero and not (scene.comparison.a.tokens and scene.comparison.b.tokens):
        title += ", or the other prompt has something else there"
    return Hint("embedding-row", title, f"the other {int((~off).sum())} of {len(ids)} tokens agree.")


def _share_off(a: Numbers, b: Numbers, unit: float) -> float:
    """How many elements [N,D] are further apart than rounding moves them, of all."""
    usual = np.sqrt(np.maximum(np.square(a).mean(axis=0), np.square(b).mean(axis=0)))  # [D]
    return float((np.abs(a - b) > 4 * unit * usual).mean())


def _off(a: Numbers, b: Numbers, unit: float, axis: int) -> npt.NDArray[np.bool_]:
    """Which columns, or rows, are further apart than rounding moves them; none where that isn't clear."""
    size = np.maximum(np.linalg.norm(a, axis=axis), np.linalg.norm(b, axis=axis))
    usual = float(np.sqrt(np.square(size).mean()))
    apart = np.linalg.norm(a - b, axis=axis) / np.maximum(size, max(usual, 1e-300))
    off = np.asarray(apart > 4 * unit)
    clear = off.any() and not off.all() and apart[off].min() > _CLEAR * apart[~off].max()
    return off if clear else np.zeros_like(off)


def _rows(places: npt.NDArray[np.int64]) -> str:
    """In words: `Rows 32 to 63`."""
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    words = [f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    return f"Rows {_listed(words)}"


def _listed(words: Sequence[object]) -> str:
    rest = len(words) - _MOST_TOLD
    return ", ".join(map(str, words[:_MOST_TOLD])) + (f" and {rest} more" if rest > 0 else "")
