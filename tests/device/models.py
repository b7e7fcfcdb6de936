"""The models that are run on a GPU: Llamas with random weights, in bfloat16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tracetui.recipe import Layers, Prompts, Recipe


@dataclass(frozen=True, slots=True)
class Size:
    """How large a Llama is."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int
    tokens: tuple[int, ...]
    """How long the prompts are with which it is measured."""

    @property
    def config(self) -> Mapping[str, Any]:
        """In transformers' names."""
        return {
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "intermediate_size": self.ffn,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": 8192,
        }

    @property
    def bytes(self) -> int:
        """Of its weights in bfloat16, about."""
        kv = self.hidden * self.kv_heads // self.heads
        layer = self.hidden * (2 * self.hidden + 2 * kv + 3 * self.ffn)
        return 2 * (self.layers * layer + 2 * self.vocabulary * self.hidden)

    def model(self, device: torch.device, dtype: torch.dtype = torch.bfloat16) -> LlamaForCausalLM:
        """On the device from the beginning."""
        torch.manual_seed(0)
        with torch.device(device):
            made: Any = LlamaForCausalLM._from_config(LlamaConfig(**self.config), dtype=dtype)
        return made.eval()

    def recipe(self, tokens: int, **fields: Any) -> Recipe:
        """The same as a recipe, with weights of its own."""
        ids = tuple(5 + (17 * place) % (self.vocabulary - 5) for place in range(tokens))
        known: dict[str, Any] = {"layers": Layers(0, self.layers), "dtype": "bfloat16", "prompts": Prompts(ids=(ids,))}
        config = {"model_type": "llama", **self.config}
        return Recipe(name=self.name, title=self.name, origin=self.name, config=config, **{**known, **fields})


ONE_B = Size("Llama of 1.2 B", 2048, 16, 32, 8, 8192, 128_256, (32, 128, 512, 2048))
EIGHT_B = Size("Llama of 8 B", 4096, 32, 32, 8, 14_336, 128_256, (128, 2048))
TINY = Size("Llama of 0.1 M", 32, 2, 4, 2, 48, 61, (9,))


def sizes_for(free: int) -> tuple[Size, ...]:
    """Those of which the weights take no more than a third of a GPU's free memory."""
    return tuple(size for size in (ONE_B, EIGHT_B) if 3 * size.bytes <= free) or (TINY,)
