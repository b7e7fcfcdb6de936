"""Faults of a router, each planted alone in a real model: what is said of the choice, the weights and the sum."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
)

from tests.analysis.diff.made import trace_of
from tests.analysis.diff.plants import SIZES, Plant
from tests.analysis.diff.routers import MIXTRAL, Way, routing
from tracetui.analysis.diff.report import Report, report
from tracetui.analysis.diff.routing.flips import Cause
from tracetui.recording.trace import Trace
from tracetui.tracer.call import record_call
from tracetui.views.diff.report import diff_lines

IDS = torch.randperm(60, generator=torch.Generator().manual_seed(7))[None, :40] + 1
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
DEEPSEEK = Way()
Model = Callable[[], Any]


def deepseek() -> Any:
    fields = {**SIZES, **EXPERTS, "num_key_value_heads": 4, "n_routed_experts": 16, "n_group": 4, "topk_group": 2}
    fields |= {"num_experts_per_tok": 3}
    fields |= {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
    del fields["head_dim"]
    model = _seeded(DeepseekV3ForCausalLM(DeepseekV3Config(**fields, first_k_dense_replace=1)))
    order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
    model.model.layers[1].mlp.gate.e_score_correction_bias.copy_(torch.linspace(-0.4, 0.4, 16)[order])
    return model


def mixtral() -> Any:
    config = MixtralConfig(**SIZES, num_local_experts=8, num_experts_per_tok=2)
    return _seeded(MixtralForCausalLM(config))


def qwen() -> Any:
    fields = {name: value for name, value in SIZES.items() if name != "head_dim"}
    config = Qwen2MoeConfig(**fields, **EXPERTS, num_experts=8, shared_expert_intermediate_size=16)
    return _seeded(Qwen2MoeForCausalLM(config))


def _seeded(model: Any) -> Any:
    torch.manual_seed(3)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def traced(model: Model, plant: Plant | None = None) -> Trace:
    made = model()
    with pytest.MonkeyPatch.context() as patch:
        if plant is not None:
            plant(made, patch)
        return record_call(made, input_ids=IDS, use_cache=False)


@cache
def sound(model: Model) -> Trace:
    return traced(model)


def said(found: Report) -> str:
    return " ".join(" ".join(diff_lines(found, ("a", "b"), whole=True)).split())


@pytest.mark.parametrize(("model", "way"), [(mixtral, MIXTRAL), (deepseek, DEEPSEEK)])
def test_a_router_of_one_s_own_that_does_the_same_is_the_same(model: Model, way: Way) -> None:
    assert report(traced(model, routing(way)), sound(model)).comparison.same


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"score": "sigmoid"}, "A's router scores are the sigmoid, B's the softmax"),
        ({"score": "twice"}, "A's expert weights are made of the softmax of the softmax, B's of the softmax"),
        ({"normalised": False}, "A doesn't normalise the chosen experts' weights, B does"),
        ({"added": 0.05}, "A adds 0.05 to the sum that the experts' weights are divided by"),
        ({"skipped": 1}, "The choice is at fault: A takes the 2nd, 3rd best of 8 experts"),
        ({"more": 1}, "A takes 3 experts for each token, B 2"),
        ({"shift": 1}, "A's experts have other numbers: 1 more than B's, modulo 8"),
        ({"turned": True}, "The experts' weights stand at other experts of the same token"),
        ({"random": True}, "The choice is at fault: A's doesn't follow from its router's scores"),
        ({"coarse": True}, "A's values are bfloat16 numbers, B's are not"),
    ],
)
def test_a_fault_of_a_plain_router_is_named(change: dict[str, Any], named: str) -> None:
    found = report(traced(mixtral, routing(replace(MIXTRAL, **change))), sound(mixtral))
    assert found.at_fault
    assert [hint.title for hint in found.hints] == [named]
    assert all(flip.cause is not Cause.TIE for flip in found.flips)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"score": "softmax"}, "A's router scores are the softmax, B's the sigmoid"),
        ({"bias": 0.0}, "A leaves out the selection bias"),
        ({"bias": -1.0}, "A subtracts the selection bias"),
        ({"weights": "logits", "normalised": False}, "A's expert weights are made of the router's logits themselves"),
        ({"groups": 4}, "A ignores the groups of experts, where B takes the best 2 of 4"),
        ({"best": 1}, "A ranks a group of experts by its best expert, B by the sum of its best two"),
        ({"groups": 1}, "A takes the best 1 of 4 groups, B 2"),
        ({"factor": 1.0}, "Expert weights are scaled: A's are 0.4 times B's"),
        ({"factor": 6.25}, "times routed_scaling_factor (2.5) twice"),
    ],
)
def test_a_fault_of_groups_bias_or_scale_is_named_and_nothing_is_infinite(change: dict[str, Any], named: str) -> None:
    found = report(traced(deepseek, routing(replace(DEEPSEEK, **change))), sound(deepseek))
    assert found.first is not None
    (hint,) = found.hints
    assert named in f"{hint.title} {hint.evidence}"
    assert " inf" not in said(found)
    assert all(flip.cause in (Cause.CHOICE, Cause.SCORES) for flip in found.flips)


def test_a_choice_at_fault_tells_what_decides() -> None:
    found = report(traced(deepseek, routing(replace(DEEPSEEK, bias=0.0, groups=4))), sound(deepseek))
    assert {flip.cause for flip in found.flips} == {Cause.CHOICE}
    assert "selection bias of" in said(found)
    assert "its group is masked" in said(found)


@pytest.mark.parametrize("model", [mixtral, deepseek])
def test_what_bfloat16_flips_is_a_tie_of_experts_or_of_their_groups(model: Model) -> None:
    ids = torch.randint(1, 61, (1, 200), generator=torch.Generator().manual_seed(1))
    made = model()
    for layer in made.model.layers:
        if hasattr(layer.mlp, "experts"):
            layer.mlp.gate.weight.data *= 0.05
    full, half = (record_call(each, input_ids=ids, use_cache=False) for each in (made, model_in_half(made)))
    found = report(half, full)
    first = [flip for flip in found.flips if flip.layer == found.flips[0].layer]
    assert first
    assert {flip.cause for flip in first} == {Cause.TIE}
    assert found.tied
    assert not found.hints


def model_in_half(model: Any) -> Any:
    return copy.deepcopy(model).bfloat16()


def test_an_expert_s_own_fault_is_none_of_its_router() -> None:
    def one_expert(model: Any, patch: pytest.MonkeyPatch) -> None:
        with torch.no_grad():
            model.model.layers[1].mlp.experts.down_proj[2] *= 1.5

    found = report(traced(mixtral, one_expert), sound(mixtral))
    assert found.first is not None
    assert found.first.site == "model.layers.1.mlp.experts.2"
    assert not found.flips
    assert not {hint.name for hint in found.hints} & {"expert-choice", "expert-weights", "expert-sum", "router-scores"}


def _added(how: str) -> Plant:
    """A block that adds up its parts in another way."""

    def plant(model: Any, patch: pytest.MonkeyPatch) -> None:
        for layer in model.model.layers:
            patch.setattr(layer.mlp, "forward", _forward(layer.mlp, how))

    return plant


def _forward(mlp: Any, how: str) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(hidden: torch.Tensor) -> torch.Tensor:
        rows = hidden.reshape(-1, hidden.shape[-1])  # [N,D]
        _, weights, experts = mlp.gate(rows)
        routed, shared = mlp.experts(rows, experts, weights), mlp.shared_expert(rows)
        opened = torch.sigmoid(mlp.shared_expert_gate(rows)) * shared
        made = {"left out": routed, "no gate": routed + shared, "mean": (routed + opened) / 2, "right": routed + opened}
        chosen: torch.Tensor = made[how].view_as(hidden)
        return chosen

    return forward


SUMS = [
    ("left out", "A leaves out the shared expert"),
    ("no gate", "A adds the shared expert without its gate"),
    ("mean", "A takes the mean of the experts and the shared expert, not their sum"),
]


@pytest.mark.parametrize(("how", "named"), SUMS)
@pytest.mark.parametrize("kept", ["", "mlp", "layer"])
def test_what_is_done_to_the_shared_expert_is_named(how: str, named: str, kept: str) -> None:
    found = report(_kept(traced(qwen, _added(how)), kept), sound(qwen))
    assert found.first is not None
    assert [hint.title for hint in found.hints] == [named]


def test_a_block_that_adds_up_in_the_right_way_is_the_same() -> None:
    assert report(traced(qwen, _added("right")), sound(qwen)).comparison.same


@pytest.mark.parametrize("kept", ["mlp", "layer"])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"normalised": False}, "A doesn't normalise the chosen experts' weights, B does"),
        ({"score": "sigmoid"}, "A's expert weights are made of the sigmoid, B's of the softmax"),
    ],
)
def test_weights_are_told_from_what_a_block_returned(kept: str, change: dict[str, Any], named: str) -> None:
    wrong = _kept(traced(mixtral, routing(replace(MIXTRAL, **change))), kept)
    assert [hint.title for hint in report(wrong, sound(mixtral)).hints] == [named]


def test_of_other_experts_no_more_is_said_than_that() -> None:
    wrong = _kept(traced(mixtral, routing(replace(MIXTRAL, random=True))), "mlp")
    found = report(wrong, sound(mixtral))
    assert found.first is not None
    assert found.first.site == "model.layers.0.mlp"
    assert all("other experts than B chose, or of other outputs" in hint.title for hint in found.hints)


def _kept(trace: Trace, what: str) -> Trace:
    """A dump as a script writes it, of what some modules return."""
    places = {"mlp": ("layernorm", "self_attn", ".mlp"), "layer": ()}.get(what)
    if places is None:
        return trace
    layers = [f"model.layers.{number}" for number in range(2)]
    arrays = {
        record.site: trace[record.key]
        for record in trace.records
        if record.site in ("model.embed_tokens", "logits", *layers) or (places and record.site.endswith(places))
    }
    return trace_of(arrays, dump=True)
