"""What every form of checkpoint is to those who run a model from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tracetui.models.weights.sources import TensorSpec, WeightSource

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from tracetui.models.checkpoints.weight_file import WeightFile


class CheckpointSource(WeightSource, Protocol):
    """A checkpoint matched with a model: hands out its tensors by the names that published files give them."""

    @property
    def files(self) -> tuple[WeightFile, ...]:
        """What is read from."""
        ...

    def report(self, specs: Sequence[TensorSpec]) -> list[str]:
        """What a user must know of how it fits a model of these tensors, one line each."""
        ...


class Checkpoint(Protocol):
    """A checkpoint whose headers are read and checked; nothing of its weights is read yet."""

    @property
    def form(self) -> str:
        """What a trace calls it: `meta`, `huggingface`, `reference`."""
        ...

    @property
    def dtype(self) -> torch.dtype | None:
        """The floating dtype that most bytes have, for dtype `auto`; None if the checkpoint doesn't tell."""
        ...

    def source_for(self, model: PreTrainedModel) -> CheckpointSource:
        """Its tensors for a model. Raises InputError where it holds another model, or weights in a form not read."""
        ...
