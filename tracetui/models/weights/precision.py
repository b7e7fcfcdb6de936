"""The dtype that each tensor of a model has: transformers keeps some in float32 whatever the model's own is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

KeptDtype = Callable[[str, torch.Tensor], torch.dtype]
"""The dtype of a parameter or stored buffer, by its name and what is built in its place."""


def kept_dtypes(model: nn.Module, dtype: torch.dtype) -> KeptDtype:
    """The dtypes that from_pretrained would leave in a model of `dtype`, by transformers' own plan of exceptions."""
    from transformers.core_model_loading import build_glob_alternation

    planned = getattr(model, "_get_dtype_plan", None)
    plan: dict[str, torch.dtype] = planned(dtype) if planned is not None else {}
    if not plan:
        return lambda name, built: built.dtype
    names, pattern_of, _ = build_glob_alternation(list(plan))

    def kept(name: str, built: torch.Tensor) -> torch.dtype:
        found = names.search(name)
        return built.dtype if found is None else plan[pattern_of[str(found.lastgroup)]]

    return kept
