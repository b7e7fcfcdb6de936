"""Tensors of an adapter (LoRA and its kin) in a model's own file, by the names that PEFT gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_OF_ADAPTERS = re.compile(
    r"(?:^|[._])(?:base_layer|lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|modules_to_save|original_module)\b"
)
ADVICE = "merge it into its model (merge_and_unload), save that, and give the folder that this makes"


def of_adapters(names: Iterable[str]) -> list[str]:
    """Those of these names of tensors that are of an adapter, or of a module that one is around."""
    return [name for name in names if _OF_ADAPTERS.search(name)]
