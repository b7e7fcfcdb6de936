"""Mistakes of mixtures of experts: of the choice, of the weights, of the expert that sees all tokens."""

from __future__ import annotations

from tests.truth.decoder import Decoder
from tests.truth.fault import MODULES, Change, Fault, experts, swapped

CHOICE, WEIGHTS = ".mlp.gate#2", ".mlp.gate#1"


def deepseek(name: str, change: Change, place: str, hints: str, *words: str) -> Fault:
    """A mistake of the family whose first layer has no experts."""
    return Fault(name, "deepseek_v3", change, place, hints, words, MODULES, layer=1)


def routers_swapped(decoder: Decoder) -> Decoder:
    """The router's matrix is another layer's."""
    one, other = (f"model.layers.{layer}.mlp.gate.weight" for layer in (1, 2))
    weights = {**decoder.weights, one: decoder.weights[other], other: decoder.weights[one]}
    return type(decoder)(**{**vars(decoder), "weights": weights})


MIXTURES = (
    deepseek("selection bias left out", experts(bias=False), CHOICE, "expert-choice", "leaves out the selection bias"),
    deepseek("selection bias in the weights", experts(biased_weights=True), WEIGHTS, "expert-weights", "bias"),
    deepseek("groups of experts ignored", experts(groups=1), CHOICE, "expert-choice", "groups"),
    deepseek("groups by their best expert", experts(best_of_group=1), CHOICE, "expert-choice", "best"),
    deepseek("three groups used", experts(groups_used=3), CHOICE, "expert-choice", "3"),
    deepseek("routed scaling left out", experts(scaling=1.0), WEIGHTS, "expert-weights factor", r"2\.5|0\.4"),
    deepseek("routed scaling twice", experts(scaling=6.25), WEIGHTS, "expert-weights factor", r"2\.5|twice"),
    deepseek("weights not normalised", experts(normalised=False), WEIGHTS, "expert-weights", "normalise"),
    deepseek("softmax for sigmoid", experts(scoring="softmax"), CHOICE, "expert-choice expert-weights", "softmax"),
    deepseek(
        "shared experts left out", experts(shared=""), ".mlp", "expert-sum residual-factor expert-outputs", "shared"
    ),
    Fault(
        "weights normalised",
        "qwen2_moe",
        experts(normalised=True),
        WEIGHTS,
        "expert-weights",
        ("normalise",),
        MODULES,
    ),
    Fault(
        "softmax over the chosen",
        "qwen2_moe",
        experts(scoring="chosen"),
        WEIGHTS,
        "expert-weights",
        ("normalise|chosen",),
        MODULES,
    ),
    Fault(
        "shared expert's gate left out",
        "qwen2_moe",
        experts(shared_gated=False),
        ".mlp",
        "expert-sum expert-outputs",
        ("shared",),
        MODULES,
    ),
    Fault(
        "shared expert left out",
        "qwen2_moe",
        experts(shared=""),
        ".mlp",
        "expert-sum expert-outputs",
        ("shared",),
        MODULES,
    ),
    Fault(
        "worst experts", "qwen2_moe qwen3_moe", experts(worst=True), CHOICE, "expert-choice", ("8th|choice",), MODULES
    ),
    Fault("one expert a token", "qwen2_moe", experts(count=1), CHOICE, "expert-choice", (r"\b1\b", r"\b2\b"), MODULES),
    Fault(
        "three experts a token", "qwen3_moe", experts(count=3), CHOICE, "expert-choice", (r"\b3\b", r"\b2\b"), MODULES
    ),
    Fault(
        "equal weights",
        "qwen2_moe qwen3_moe",
        experts(same_weights=True),
        WEIGHTS,
        "expert-weights",
        ("equal",),
        MODULES,
    ),
    Fault(
        "experts one further", "qwen2_moe qwen3_moe", experts(rotated=1), ".mlp.experts", "expert-outputs", ("",), ()
    ),
    Fault("routers of two layers swapped", "qwen2_moe qwen3_moe", routers_swapped, ".mlp.gate", "", (), (), layer=1),
    Fault(
        "shared expert's gate and up swapped",
        "qwen2_moe",
        swapped("mlp.shared_expert.gate_proj", "mlp.shared_expert.up_proj"),
        ".mlp.shared_expert.gate_proj",
        "swapped-weights",
        ("gate_proj", "up_proj"),
    ),
)
