"""Tensors that a configuration ties and a file has twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def untie(model: PreTrainedModel, name: str) -> None:
    """Give a tied parameter memory of its own, on the model's device."""
    owner, _, parameter = name.rpartition(".")
    tied = model.get_parameter(name)
    own = torch.nn.Parameter(torch.empty_like(tied), requires_grad=tied.requires_grad)
    setattr(model.get_submodule(owner), parameter, own)


def table_names(model: PreTrainedModel) -> frozenset[str]:
    """The parameters that have a row for each token of the vocabulary: the embedding's and the head's."""
    tables = (model.get_input_embeddings(), model.get_output_embeddings())
    return frozenset(
        f"{path}.weight"
        for path, module in model.named_modules()
        if any(module is table for table in tables if table is not None)
    )


def settle_head(model: PreTrainedModel) -> None:
    """Untie the head from the embedding, if it is, for a file that has both."""
    head = model.get_output_embeddings()
    path = next((path for path, module in model.named_modules() if module is head), None)
    if head is not None and path is not None and head.weight is model.get_input_embeddings().weight:
        untie(model, f"{path}.weight")
