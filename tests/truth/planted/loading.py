"""Mistakes of what reads weights: at another place, in part, a layer too many."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tests.truth.decoder import Decoder, but
from tests.truth.fault import FIRST_NORM, MODULES, OUTPUT, Change, Fault, one_weight, weights


def of_layer(other: int, name: str, at: int) -> Change:
    """A weight that another layer's takes the place of."""
    return weights(lambda w, path: w.update({path + name: w[f"model.layers.{other}.{name}"].clone()}), at)


def zero_rows(weight: Tensor) -> Tensor:
    """Only the first half of a weight was read."""
    half = len(weight) // 2
    return torch.cat([weight[:half], torch.zeros_like(weight[half:])])


def other_rows(weight: Tensor) -> Tensor:
    """The second half was never read."""
    half = len(weight) // 2
    return torch.cat(
        [weight[:half], 0.15 * torch.randn(weight[half:].shape, generator=torch.Generator().manual_seed(3))]
    )


def neighbours_swapped(w: dict[str, Tensor], path: str) -> None:
    """Experts 0 and 1 of a layer, one for the other."""
    for name in ("mlp.experts.gate_up_proj", "mlp.experts.down_proj"):
        if path + name in w:
            w[path + name][[0, 1]] = w[path + name][[1, 0]]


def halves_swapped(w: dict[str, Tensor], path: str) -> None:
    """Of each expert, gate and up."""
    name = f"{path}mlp.experts.gate_up_proj"
    if name in w:
        w[name] = torch.roll(w[name], w[name].shape[1] // 2, dims=1)


def random_embedding(decoder: Decoder) -> Decoder:
    """One token's row was never read."""
    rows = decoder.weights["model.embed_tokens.weight"].clone()
    rows[42] = 0.0
    return replace(decoder, weights={**decoder.weights, "model.embed_tokens.weight": rows})


LOADING = (
    Fault(
        "layers swapped",
        "llama qwen3 gemma2 gpt_neox glm4",
        but(order=(0, 2, 1)),
        FIRST_NORM,
        "layer-weights",
        ("layer 2",),
        layer=1,
    ),
    Fault(
        "layer left out",
        "llama qwen2_moe gpt_neox",
        but(order=(0, 2)),
        FIRST_NORM,
        "layer-weights",
        ("layer 2",),
        layer=1,
    ),
    Fault(
        "layer twice", "qwen3 phi3 glm4", but(order=(0, 1, 1, 2)), FIRST_NORM, "layer-weights", ("layer 1",), layer=2
    ),
    Fault("layers from 1", "llama gemma3", but(order=(1, 2)), FIRST_NORM, "layer-weights", ("layer 1",)),
    Fault(
        "norm of another layer",
        "llama gemma2 gemma3 gpt_neox deepseek_v3",
        of_layer(0, "input_layernorm.weight", 2),
        FIRST_NORM,
        "layer-weights norm-scale",
        ("weight",),
        layer=2,
    ),
    Fault("q of another layer", "qwen3 phi3", of_layer(0, "self_attn.o_proj.weight", 1), OUTPUT, "", (), (), layer=1),
    Fault(
        "half of o not read",
        "llama gemma3 glm4 gpt_neox",
        one_weight("self_attn.o_proj.weight", other_rows),
        OUTPUT,
        "weight-rows",
        ("rows 32",),
        MODULES,
    ),
    Fault(
        "half of q zero",
        "qwen3 gemma2",
        one_weight("self_attn.q_proj.weight", zero_rows),
        ".self_attn.q_proj",
        "weight-rows scores",
        ("32",),
        topic="q_proj",
    ),
    Fault(
        "half of down zero",
        "llama granite",
        one_weight("mlp.down_proj.weight", zero_rows),
        ".mlp.down_proj",
        "weight-rows",
        ("32",),
        MODULES,
    ),
    Fault(
        "a token's embedding zero",
        "llama gemma3 gpt_neox",
        random_embedding,
        "model.embed_tokens",
        "embedding-row",
        ("42",),
        ("layers", "hooks", "qkv", "full"),
    ),
    Fault(
        "two experts swapped",
        "qwen3_moe qwen2_moe",
        weights(neighbours_swapped),
        ".mlp.experts",
        "expert-outputs",
        ("expert",),
        (),
    ),
    Fault(
        "gate and up of experts swapped",
        "qwen3_moe",
        weights(halves_swapped),
        ".mlp.experts",
        "expert-outputs",
        ("",),
        (),
    ),
    Fault(
        "gate and up of experts swapped",
        "deepseek_v3",
        weights(halves_swapped),
        ".mlp.experts",
        "expert-outputs",
        ("",),
        (),
        layer=1,
    ),
)
