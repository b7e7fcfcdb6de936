"""A tiny model of a family, plain and with eager attention, and the folder that transformers saves of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig

from tests.families.configs import tiny_config
from tracetui.recording.value import Array

IDS = [5, 17, 3, 99, 42, 8, 64, 23, 77]


@dataclass(frozen=True, eq=False)
class Family:
    """A family's tiny model with random weights, in float32."""

    name: str
    root: Path
    """Of what is written of it."""
    model: Any
    eager: Any
    """The same weights, with the modelling file's own attention."""

    @property
    def ids(self) -> torch.Tensor:
        """[1,T]"""
        return torch.tensor([IDS])

    @cached_property
    def logits(self) -> Array:
        """What a plain call of the model returns [1,T,V]."""
        with torch.no_grad():
            logits: Array = self.model(input_ids=self.ids).logits.numpy()
        return logits

    @cached_property
    def folder(self) -> Path:
        """As `save_pretrained` writes it."""
        self.model.save_pretrained(self.root / "folder")
        return self.root / "folder"

    @cached_property
    def config_file(self) -> Path:
        """A `config.json` alone, without weights beside it."""
        self.model.config.save_pretrained(self.root / "config")
        return self.root / "config" / "config.json"


def make_family(name: str, root: Path) -> Family:
    """Both models of a family; each call makes the same weights."""
    model, eager = (_made(tiny_config(name), kind) for kind in (None, "eager"))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim >= 2:
                parameter.copy_(noise * 0.08)
            else:
                # Around what transformers starts from: norms stay near 1, biases and decays get values of their own.
                parameter.add_(noise * (0.1 if "norm" in path.lower() else 0.02))
    eager.load_state_dict(model.state_dict())
    return Family(name, root, model, eager)


def _made(config: PreTrainedConfig, attention: str | None) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation=attention).eval()


def distance(values: Array, reference: Array) -> float:
    """|values - reference| / |reference|; infinite where an element is NaN."""
    difference = np.linalg.norm(values.astype(np.float64) - reference) / np.linalg.norm(reference)
    return float("inf") if np.isnan(difference) else float(difference)
