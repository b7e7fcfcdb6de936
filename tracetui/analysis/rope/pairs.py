"""Which two elements of a head rotary embedding turns together: neighbours, or one of each half.

Both layouts are common, checkpoints differ in them, and the wrong one gives plausible scores. Here a head's scores
are computed both ways from what the projections returned, and held against what the kernel was given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tracetui.analysis.attention.scores import AttentionView, Matrix
from tracetui.analysis.identity import Identity, dot_size, identity
from tracetui.analysis.rope.angles import Angles, angles_before
from tracetui.analysis.rope.projected import Projected, projected
from tracetui.text import number, visible

Layout = Literal["halves", "pairs"]
LAYOUTS: tuple[Layout, ...] = ("halves", "pairs")
WORDS: Mapping[Layout, str] = {"halves": "halves", "pairs": "adjacent pairs"}
META, GGUF = "meta", "gguf"
"""What a trace's recipe calls a checkpoint in Meta's own form, and a GGUF file."""
_GGUF_PAIRS = frozenset({"llama", "mixtral", "granite", "smollm3"})
"""The types of models whose rows llama.cpp's conversion puts in pairs."""
_NO_ANGLES = "no rotary embedding was recorded before this attention, so no angles to turn by"
STAND_IN_HALVES = "rows of queries and keys stand in halves"
"""What a note says of a GGUF file of such a model whose rows were left as they are in transformers."""
_ROUNDINGS = 4
"""Turning rounds each element of a query and of a key three times, where other scores round it once."""
_SCALED = 0.02
"""A row whose length changes by more than this share was scaled: rounding doesn't do that."""


@dataclass(frozen=True, slots=True)
class Untold:
    """Why the layout can't be told."""

    reason: str


@dataclass(frozen=True, eq=False, slots=True)
class RopeCheck:
    """One head's scores under both layouts, [T,S] each, before the mask."""

    view: AttentionView
    head: int
    batch: int
    scores: Mapping[Layout, Matrix]
    off: Mapping[Layout, Identity]
    """How far each is from q·k as the kernel was given them."""
    rotated: int
    """Elements of a head that carry a position, of `width`."""
    width: int
    permuted: bool
    """Whether the rows of q and k stood in adjacent pairs in the checkpoint, and were put in halves on loading."""
    evidence: tuple[str, ...]
    """What the tensors, the configuration and the checkpoint say, a sentence each."""

    @property
    def layout(self) -> Layout | None:
        """The one that agrees where the other doesn't; None where neither or both do."""
        holding = [layout for layout in LAYOUTS if self.off[layout].holds]
        return holding[0] if len(holding) == 1 else None


def check_rope(view: AttentionView, head: int, batch: int = 0) -> RopeCheck | Untold:
    """One head's scores under both layouts, from q and k as projected and the recorded angles."""
    queries, keys = view.query.shape[2], view.key.shape[2]
    if queries != keys:
        return Untold("the keys come from a cache, turned already: look at a pass over the whole prompt")
    if queries == 1:
        return Untold("one token alone doesn't tell: its query and its key turn by the same angle")
    given = projected(view, head, batch)
    if isinstance(given, str):
        turns = angles_before(view, batch, view.query.shape[3])
        return Untold(given if turns else _NO_ANGLES)
    angles = angles_before(view, batch, given.query.shape[1])
    if not angles:
        return Untold(_NO_ANGLES)
    checks = [_check(view, head, batch, given, found) for found in angles]
    if max(check.rotated for check in checks) == 2:
        return Untold("two elements of a head turn, one pair: both layouts are the same")
    best = min(checks, key=lambda check: min(check.off[layout].difference for layout in LAYOUTS))
    if best.layout is None and _unturned(best, given):
        return Untold("this layer doesn't turn its queries and keys: they reach the kernel as projected")
    return best


def turned(rows: Matrix, angles: Angles, layout: Layout) -> Matrix:
    """Rows [T,rot] with each pair of elements turned by its angle at its position; they stay where they stood."""
    half = angles.pairs
    first, second = (
        (slice(0, half), slice(half, 2 * half)) if layout == "halves" else (slice(0, None, 2), slice(1, None, 2))
    )
    one, other = rows[:, first], rows[:, second]  # [T,rot/2]
    result = np.empty_like(rows)
    result[:, first] = one * angles.cos - other * angles.sin
    result[:, second] = other * angles.cos + one * angles.sin
    return result


def _check(view: AttentionView, head: int, batch: int, given: Projected, angles: Angles) -> RopeCheck:
    recorded, width = view.computed_scores(head, batch), 2 * angles.pairs
    scores: dict[Layout, Matrix] = {}
    off: dict[Layout, Identity] = {}
    for layout in LAYOUTS:
        scores[layout], size = _scores(view, given, angles, layout, given.query[:, :width], given.key[:, :width])
        off[layout] = identity(scores[layout], recorded, view.query.dtype, _ROUNDINGS * size)
    evidence = tuple(_evidence(view, given, angles, recorded))
    return RopeCheck(view, head, batch, scores, off, width, view.query.shape[-1], rows_permuted(view), evidence)


def rows_permuted(view: AttentionView) -> bool:
    """Whether this attention's query rows come from a file of Meta's or llama.cpp's, which has another order."""
    return bool(rows_source(view))


def rows_source(view: AttentionView) -> str:
    """Whose file had the rows in pairs; empty where none had."""
    run, projection = view.trace.run, view.inside("q_proj")
    if projection is None or not any(kind in projection.provenance for kind in ("file", "dequantised")):
        return ""
    if run.recipe.get("layout") == META:
        return "Meta's file"
    in_pairs = run.recipe.get("layout") == GGUF and run.config.get("model_type") in _GGUF_PAIRS
    return "the GGUF file" if in_pairs and not any(STAND_IN_HALVES in note for note in run.notes) else ""


def _scores(
    view: AttentionView, given: Projected, angles: Angles, layout: Layout, query: Matrix, key: Matrix
) -> tuple[Matrix, float]:
    """The scores [T,S] of rows [T,rot] turned under a layout, and the size of what was added up.

    Some families scale queries after the projection; turning changes no row's length, so the factor shows.
    """
    width = 2 * angles.pairs
    q, k = turned(query, angles, layout), turned(key, angles, layout)  # [T,rot] [S,rot]
    q = q * _factors(q, given.turning(given.kernel_query, width))
    k = k * _factors(k, given.turning(given.kernel_key, width))
    q = np.hstack((q, given.resting(given.kernel_query, width)))  # [T,K]
    k = np.hstack((k, given.resting(given.kernel_key, width)))  # [S,K]
    return view.scaled(q @ k.T), dot_size(q, k) * abs(view.call.scale)


def _factors(rows: Matrix, kernel: Matrix) -> Matrix:
    """By what each row [T,1] was scaled on its way to the kernel; 1 where none was."""
    before, after = (np.linalg.norm(part, axis=1, keepdims=True) for part in (rows, kernel))  # [T,1]
    factors = np.divide(after, before, out=np.ones_like(before), where=before > 0)  # [T,1]
    scaled: Matrix = factors if (np.abs(factors - 1) > _SCALED).any() else np.ones_like(factors)
    return scaled


def _unturned(check: RopeCheck, given: Projected) -> bool:
    """Whether the kernel was given what was projected."""
    width = check.rotated
    query, key = given.turning(given.kernel_query, width), given.turning(given.kernel_key, width)
    unturned = np.array_equal(query, given.query[:, :width]) and np.array_equal(key, given.key[:, :width])
    return bool(unturned)


def _evidence(view: AttentionView, given: Projected, angles: Angles, recorded: Matrix) -> Iterator[str]:
    width, whole = 2 * angles.pairs, view.query.shape[-1]
    said = "all" if width == whole else f"{width} of {whole}"
    query, key = (visible(site.rpartition(".")[2]) for site in given.sites)
    yield f"{said} elements of a head, from {query} and {key}, turned by {visible(angles.site)}"
    interleave = view.trace.run.config.get("rope_interleave")
    if isinstance(interleave, bool):
        words = WORDS["pairs" if interleave else "halves"]
        yield f"config: rope_interleave {str(interleave).lower()}, so {words}"
    else:
        yield "config: no field says which; the model's class decides"
    if source := rows_source(view):
        yield f"checkpoint: {source} has adjacent pairs; the rows of q and k were put in halves order on loading"
        yield f"without that, halves would be off by {number(_unpermuted(view, given, angles, recorded))}"


def _unpermuted(view: AttentionView, given: Projected, angles: Angles, recorded: Matrix) -> float:
    """How wrong a head's scores get when rows that stand in pairs are turned as halves."""
    order = np.arange(2 * angles.pairs).reshape(2, -1).T.reshape(-1)  # [rot]: where the file's rows stand now
    query, key = given.query[:, order], given.key[:, order]
    scores, _ = _scores(view, given, angles, "halves", query, key)
    return float(np.abs(scores - recorded).max())
