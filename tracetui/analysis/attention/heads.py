"""The identity of attention: softmax(scores)·V is each head's recorded output, or the scores aren't the model's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from tracetui.analysis.attention.call import Matrix, RecordedCall
from tracetui.analysis.attention.mla import latent_of
from tracetui.analysis.identity import Identity, dot_size, identity
from tracetui.recording.record import ABSORBED, BEFORE_EDIT
from tracetui.recording.value import Array, NotKeptError, is_kept
from tracetui.text import visible

NOT_SHOWN = "its attention can't be shown"


class UnexplainedError(NotKeptError):
    """Scores that are computed from what was recorded would not be the model's; the text says why."""

    def __init__(self, site: str, reason: str) -> None:
        super().__init__(f"{visible(site, 100)}: {NOT_SHOWN}: {reason}")
        self.reason = reason


def explained(view: RecordedCall, head: int, batch: int = 0) -> tuple[Matrix, Matrix]:
    """A head's masked scores and probabilities [T,S], checked against the kernel's output. Raises UnexplainedError.

    Where its values or its output were not recorded (yet), nothing can be checked: what is known of the call must do.
    """
    if view.call.unexplained:
        raise UnexplainedError(view.site, visible(view.call.unexplained, 400))
    masked = view.masked(head, batch)  # [T,S]
    probabilities = view.probabilities(masked, head, batch)  # [T,S]
    output = _Output.of(view, head, batch)
    found = output.held_against(masked, probabilities, finite_values=True) if output else None
    if found is not None and not found.holds:
        apart = f"softmax(scores)·V is {found.difference:.2g} off what head {head} returned"
        raise UnexplainedError(view.site, f"{apart}, so that its scores aren't q·k's")
    return masked, probabilities


def head_identity(view: RecordedCall, head: int, batch: int = 0) -> Identity | None:
    """softmax(scores)·V [T,Kv] against one head's recorded output; None without v or the output, or their values."""
    output = _Output.of(view, head, batch)
    if output is None:
        return None
    masked = view.masked(head, batch)  # [T,S]
    return output.held_against(masked, view.probabilities(masked, head, batch))


@dataclass(frozen=True, eq=False, slots=True)
class _Output:
    """What a kernel returned for one head, and the values it mixed."""

    view: RecordedCall
    head: int
    batch: int
    values: Matrix
    """[S,Kv]"""
    returned: Array
    """[T,Kv]"""
    dtype: str

    @staticmethod
    def of(view: RecordedCall, head: int, batch: int) -> _Output | None:
        # An edit of the output says nothing of the kernel: its own stands before it.
        value, output = view.beside("v"), view.beside(f"heads:{BEFORE_EDIT}") or view.beside("heads")
        if value is None or output is None or not _go_together(view, value.shape, output.shape):
            return None
        if not all(is_kept(view.trace.value(record)) for record in (value, output)):
            return None
        values = view.trace.value(value).read((batch, head * value.shape[1] // view.heads)).astype(np.float32)
        return _Output(view, head, batch, values, view.trace.value(output).read((batch, head)), output.dtype)

    def held_against(self, masked: Matrix, probabilities: Matrix, finite_values: bool = False) -> Identity:
        """finite_values: leave out the columns in which a value isn't finite, which tell nothing of probabilities."""
        values, returned = self.values, self.returned
        if finite_values:
            columns = np.isfinite(values).all(axis=0)  # [Kv]
            values, returned = values[:, columns], returned[:, columns]
        with np.errstate(invalid="ignore"):
            mixed = probabilities @ values  # [T,Kv]
        roundings = (
            2 if self.view.call.kernel == ABSORBED else 1
        )  # of the mixed values; absorbed, of the mixed latent before
        scores = np.where(probabilities > 0, masked, np.float32(0))  # [T,S]
        scale = _largest(values) * (roundings + self._score_error(scores))
        return identity(mixed, returned, self.dtype, scale)

    def _score_error(self, scores: Array) -> float:
        """How large what was added up and rounded on the way to a score was: softmax passes a score's error on.

        sdpa keeps scores in float32; eager attention in float16 or bfloat16 rounds the scores themselves. Scores from
        the latent differ from those of q and k by the roundings of the absorbed query and of the expanded keys.
        """
        view, head, batch = self.view, self.head, self.batch
        if view.call.kernel == ABSORBED and (latent := latent_of(view)) is not None:
            return latent.sizes(head, batch) + _largest(scores)
        if self.dtype in ("float32", "float64"):
            q = view.trace.value(view.query).read((batch, head))  # [T,K]
            k = view.trace.value(view.key).read((batch, view.kv_head(head)))  # [S,K]
            return dot_size(q, k) * abs(view.call.scale)
        return _largest(scores) if view.call.kernel == "eager" else 0.0


def _go_together(view: RecordedCall, value: tuple[int, ...], output: tuple[int, ...]) -> bool:
    """Whether the shapes are [B,G,S,Kv] and [B,H,T,Kv] of this call: a file may have any under these names."""
    if len(value) != 4 or len(output) != 4 or not value[1]:
        return False
    fits = (value[0], value[2]) == (view.batch, view.key.shape[2]) and view.heads % value[1] == 0
    return fits and output == (*view.query.shape[:3], value[3])


def all_heads_identity(view: RecordedCall, cancelled: Callable[[], bool] = lambda: False) -> Identity | None:
    """Checks every head of every prompt and returns the check that is farthest beyond its tolerance, or nearest to it.

    None also when cancelled: `cancelled` is called before each head.
    """
    found = []
    for batch, head in product(range(view.batch), range(view.heads)):
        if cancelled():
            return None
        if (one := head_identity(view, head, batch)) is not None:
            found.append(one)
    return worst(found)


def worst(identities: list[Identity]) -> Identity | None:
    """The check whose difference is the largest share of its tolerance; a failed one comes before all others."""
    return max(identities, key=lambda one: (not one.holds, one.difference / (one.tolerance or 1.0)), default=None)


def _largest(array: Array) -> float:
    sizes = np.abs(array)
    return float(sizes.max(initial=0.0, where=np.isfinite(sizes)))
