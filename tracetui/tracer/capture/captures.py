"""The values of tensors that pass by: each captured once, however often it is returned, and looked at once for NaN."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tracetui.recording.health import all_finite
from tracetui.recording.keep import Keep, MatrixRole
from tracetui.recording.value import Value
from tracetui.tracer.attention.matrices import wanted_for_matrices
from tracetui.tracer.capture.alias import capture_function
from tracetui.tracer.capture.snapshots import Snapshots
from tracetui.tracer.capture.statistics import is_finite
from tracetui.tracer.capture.store import ValueStore
from tracetui.tracer.capture.unwritten import address_of, holds
from tracetui.tracer.capture.values import TorchValue

_REMEMBERED = 6
"""How many tensors back the same one is recognised: a module's output is returned again by its parents at once."""


_Known = dict[tuple[int, bool], tuple[torch.Tensor, int, int, Value]]
"""By identity, and whether the elements are wanted: the tensor, its version, where it lay, and its value.

While a tensor is in here no other takes its identity.
"""


class Captures:
    """Of one run. Used by the model's thread alone."""

    def __init__(self, keep: Keep, store: ValueStore, matrices: tuple[MatrixRole, ...]) -> None:
        """matrices: which of attention's are recorded beside what each kernel received."""
        self._keep = keep
        self._store = store
        self._matrices = matrices
        self._capture = capture_function()
        self.snapshots = Snapshots(store)
        self._recent: _Known = {}
        self._masks: _Known = {}
        self.earlier_mask: Callable[[str, torch.Tensor], Value | None] | None = None
        """What an earlier run has of a site's mask."""
        self._looked_at: tuple[torch.Tensor, bool] | None = None
        """The tensor that was looked at last for NaN, with the answer."""

    def forget(self) -> None:
        """Keep no tensor of the model's alive."""
        self._store.copies.let_go()
        self.snapshots.forget()
        self._recent.clear()
        self._masks.clear()
        self._looked_at = None

    def value(self, tensor: torch.Tensor, site: str, shared: bool) -> Value:
        """The captured value; the same object for a tensor that was captured a moment ago and not written to since.

        shared: a mask is; one tensor goes through every layer of a pass.
        """
        if self.snapshots.versions and (ready := self.snapshots.value(tensor)) is not None:
            return ready
        wanted = self._keep.everything or self._is_wanted(site)
        known = _known(tensor, self._masks if shared else self._recent, wanted)
        if known is not None:
            return known
        value = self.earlier_mask(site, tensor) if shared and wanted and self.earlier_mask is not None else None
        if value is None:
            value = self._store.put(self._capture(tensor)) if wanted else self._store.summarise(tensor)
        if self._looked_at is not None and self._looked_at[0] is tensor and isinstance(value, TorchValue):
            value.finite = self._looked_at[1]
        # Of that moment alone: the model may write to the tensor.
        self._looked_at = None
        if shared:
            self._masks[id(tensor), wanted] = _seen(tensor, value)
        else:
            self.remember(tensor, value, wanted)
        return value

    def _is_wanted(self, site: str) -> bool:
        return site in self._keep or wanted_for_matrices(site, self._keep, self._matrices)

    def remember(self, tensor: torch.Tensor, value: Value, wanted: bool = True) -> None:
        """A tensor has this value. wanted: its elements are kept, or were to be."""
        self._recent[id(tensor), wanted] = _seen(tensor, value)
        if len(self._recent) > _REMEMBERED:
            del self._recent[next(iter(self._recent))]

    def is_finite(self, tensor: torch.Tensor) -> bool:
        """Whether no element of a tensor is NaN or infinite; its value, once captured, knows the answer."""
        ready = self.snapshots.value(tensor) if self.snapshots.versions else None
        known = ready or _known(tensor, self._recent, wanted=False)
        if known is not None:
            return all_finite(known)
        finite = is_finite(tensor)
        self._looked_at = (tensor, finite)
        return finite


def _seen(tensor: torch.Tensor, value: Value) -> tuple[torch.Tensor, int, int, Value]:
    return tensor, -1 if tensor.is_inference() else tensor._version, address_of(tensor), value


def _known(tensor: torch.Tensor, among: _Known, wanted: bool) -> Value | None:
    """The value of a tensor, unless it was written to since, or nobody can tell (in inference mode)."""
    seen = among.get((id(tensor), wanted))
    if seen is None and not wanted:
        seen = among.get((id(tensor), True))
    if seen is None:
        return None
    _, version, address, value = seen
    unwritten = version != -1 and version == tensor._version
    return value if unwritten and (address == address_of(tensor) or holds(tensor, value)) else None
