"""Finds the record that holds a module's input, so that nothing was computed between the two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from weakref import ReferenceType, ref

import torch

from tracetui.recording.record import UNRECORDED
from tracetui.recording.value import Value
from tracetui.tracer.capture.unwritten import address_of, holds


class Sources:
    """The tensors of one pass that were recorded, by identity; none is kept alive. Used by the model's thread alone."""

    def __init__(self, base_of: Callable[[torch.Tensor], torch.Tensor | None], values: Sequence[Value]) -> None:
        """base_of: the tensor that another one is a view of, if the view covers all of it. values: by their records."""
        self._base_of = base_of
        self._values = values
        self._known: dict[int, tuple[ReferenceType[torch.Tensor], int, int, int]] = {}
        self._others: Callable[[], Iterable[tuple[torch.Tensor, int]]] | None = None

    def forget(self) -> None:
        self._known.clear()
        self._others = None

    def add_when_asked(self, others: Callable[[], Iterable[tuple[torch.Tensor, int]]]) -> None:
        """Tensors have been recorded, with their records, of which mostly nobody will ask again."""
        self._others = others

    def add(self, tensor: torch.Tensor, index: int) -> None:
        """A tensor has been recorded as the record `index`."""
        if self._others is not None:
            self._add_others()
        # Nobody can tell whether one of inference mode was written to since.
        if not tensor.is_inference():
            # What the caller gave may have no storage, and nobody captured it.
            address = address_of(tensor) if index >= 0 else 0
            self._known[id(tensor)] = (ref(tensor), tensor._version, address, index)

    def _add_others(self) -> None:
        others, self._others = self._others, None
        for tensor, index in others() if others is not None else ():
            self.add(tensor, index)

    def of(self, tensor: torch.Tensor) -> int:
        """The record that holds a tensor's very values; UNRECORDED if there is none."""
        if self._others is not None:
            self._add_others()
        found = self._same(tensor)
        if found == UNRECORDED and (base := self._whole(tensor)) is not None:
            return self._same(base)
        return found

    def _whole(self, tensor: torch.Tensor) -> torch.Tensor | None:
        base = self._base_of(tensor)
        return _whole_base(tensor) if base is None else base

    def _same(self, tensor: torch.Tensor) -> int:
        known = self._known.get(id(tensor))
        if known is None or tensor.is_inference():
            return UNRECORDED
        same, version, address, index = known
        if same() is not tensor or version != tensor._version:
            return UNRECORDED
        stays = index < 0 or address == address_of(tensor) or holds(tensor, self._values[index])
        return index if stays else UNRECORDED


def _whole_base(tensor: torch.Tensor) -> torch.Tensor | None:
    """What a tensor is a view of, if it is all of it and in the same form."""
    if tensor.is_inference():
        return None
    base = tensor._base
    if base is None or base.shape != tensor.shape or base.stride() != tensor.stride():
        return None
    return base
