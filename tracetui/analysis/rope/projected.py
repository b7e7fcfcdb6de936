"""A head's query and key as they were before rotary embedding turned them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.attention.mla import latent_of
from tracetui.analysis.attention.scores import AttentionView, Matrix
from tracetui.recording.record import Record

_QUERY = ("q_norm", "q_layernorm", "q_b_proj", "q_proj")
_KEY = ("k_norm", "k_layernorm", "k_proj")
"""The modules whose output is turned, a norm between projection and rotation first."""
_LATENT_KEY = ("kv_a_proj_with_mqa",)


@dataclass(frozen=True, eq=False, slots=True)
class Projected:
    """One head before rotation, beside what the kernel was given."""

    query: Matrix
    """[T,W], of which a rotary embedding turns the first elements, or all."""
    key: Matrix
    """[S,W]"""
    start: int
    """Where these stand in the kernel's head."""
    kernel_query: Matrix
    """[T,K]"""
    kernel_key: Matrix
    """[S,K]"""
    sites: tuple[str, str]
    """What the query and the key were read from."""

    def turning(self, kernel: Matrix, width: int) -> Matrix:
        """The part [T,width] of a kernel's rows that is turned."""
        return kernel[:, self.start : self.start + width]

    def resting(self, kernel: Matrix, width: int) -> Matrix:
        """The part [T,K-width] of a kernel's rows that carries no position."""
        return np.delete(kernel, slice(self.start, self.start + width), axis=1)


def projected(view: AttentionView, head: int, batch: int) -> Projected | str:
    """A head's query and key before rotation, or in words why they weren't recorded."""
    q = view.trace.value(view.query).read((batch, head)).astype(np.float32)  # [T,K]
    k = view.trace.value(view.key).read((batch, view.kv_head(head))).astype(np.float32)  # [S,K]
    latent = latent_of(view)
    rope = latent.rope_width if latent else 0
    start = q.shape[1] - rope if latent else 0
    query = _first(view, _QUERY, head, view.heads, batch, q)
    key = _first(view, _LATENT_KEY, 0, 1, batch, k, rope) if latent else _first(view, _KEY, head, view.heads, batch, k)
    if query is None or key is None:
        return (
            f"no query and key of their own were recorded before rotation: {view.site} makes them in one projection, "
            "or in modules of other names"
        )
    return Projected(query[0][:, start:], key[0], start, q, k, (query[1], key[1]))


def _first(
    view: AttentionView, names: tuple[str, ...], head: int, heads: int, batch: int, kernel: Matrix, last: int = 0
) -> tuple[Matrix, str] | None:
    """The rows [T,K] of a query head in the first of these modules' outputs that has them, and its site.

    With `last`, a row's last elements, which all heads share.
    """
    for name in names:
        record = view.inside(name)
        if record is None:
            continue
        if last:
            return view.trace.value(record).read((batch,))[:, -last:].astype(np.float32), record.site
        fitting = list(_rows(view, record, head, heads, batch, kernel))
        if fitting:
            return min(fitting, key=lambda rows: _unlike(rows, kernel)), record.site
    return None


def _rows(view: AttentionView, record: Record, head: int, heads: int, batch: int, kernel: Matrix) -> Iterator[Matrix]:
    """The readings of a tensor as [B,T,heads·K], [B,T,heads,K] or [B,heads,T,K]; T may equal the number of heads."""
    length, width = kernel.shape
    value, shape = view.trace.value(record), record.shape
    if len(shape) == 3 and shape[1] == length and shape[2] % width == 0 and shape[2] // width <= heads:
        own = head * (shape[2] // width) // heads
        yield value.read((batch, slice(0, length), slice(own * width, (own + 1) * width))).astype(np.float32)
    if len(shape) == 4 and shape[3] == width:
        if shape[1] == length:
            yield value.read((batch, slice(0, length), head * shape[2] // heads)).astype(np.float32)
        if shape[2] == length:
            yield value.read((batch, head * shape[1] // heads)).astype(np.float32)


def _unlike(rows: Matrix, kernel: Matrix) -> float:
    """How much the rows' lengths differ from the kernel's: turning keeps them."""
    return float(np.abs(np.linalg.norm(rows, axis=1) - np.linalg.norm(kernel, axis=1)).max(initial=0.0))
