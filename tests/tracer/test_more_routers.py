"""Routers that do things their own way: what is told of them is what their models compute."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tracer.mixture_models import EXPERTS, LATENT
from tests.tracer.models import SIZES, prompt, seeded
from tracetui.analysis.experts.block import shared_parts, sum_identity
from tracetui.analysis.experts.choice import margins
from tracetui.analysis.experts.load import expert_load
from tracetui.analysis.experts.routing import BlockRouting, Missing, read_routing, routing_records
from tracetui.analysis.identity import Identity
from tracetui.recording.trace import Trace
from tracetui.tracer.call import record_call
from tracetui.tracer.routing import routers
from tracetui.tracer.routing.router_choice import choice_of

HEADS = {"head_dim": 8}
SHARED = {**HEADS, "shared_expert_intermediate_size": 16}
FAMILIES: dict[str, dict[str, Any]] = {
    "cohere2_moe": {
        **HEADS,
        "num_shared_experts": 1,
        "shared_expert_combination_strategy": "average",
        "eos_token_id": 1,
    },
    "laguna": {**SHARED, "moe_routed_scaling_factor": 2.5},
    "flint": {**SHARED, "num_hidden_layers": 3},
    "kolibri1": SHARED,
    "axk2": {**LATENT, "head_dim": 4, "bos_token_id": 1, "eos_token_id": 2},
    "inkling_text": {"n_routed_experts": 8, "n_shared_experts": 1},
    "llama4_text": {**HEADS, "num_experts_per_tok": 2},
    "jetmoe": {},
    "longcat_flash": {**LATENT, "head_dim": 4, "zero_expert_num": 4},
}
BY_MODULE = ("llama4_text", "jetmoe", "longcat_flash")
"""Families whose experts don't run one by one."""
SHARING = ("cohere2_moe", "laguna", "flint", "kolibri1")


def tiny(family: str, **more: Any) -> Any:
    config = AutoConfig.for_model(family, **{**SIZES, **EXPERTS, **FAMILIES.get(family, {}), **more})
    model = seeded(AutoModelForCausalLM.from_config, config)
    for name, buffer in model.named_buffers():
        if "bias" in name:
            nn.init.normal_(buffer, std=0.2)
    return model


@cache
def watched(family: str) -> Trace:
    return record_call(tiny(family), input_ids=prompt(rows=2), use_cache=False)


def routings(trace: Trace) -> list[BlockRouting]:
    return [read_routing(trace, record) for record in routing_records(trace.records)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_choice_follows_from_the_recorded_scores(family: str) -> None:
    found = routings(watched(family))
    assert found
    for routing in found:
        assert routing.logits is not None
        assert routing.scores is not None
        assert routing.selection is not None
        assert margins(routing.selection, routing.experts).min() >= -1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_the_sum_of_experts_and_shared_part_is_the_output_or_is_not_claimed(family: str) -> None:
    trace = watched(family)
    for routing in routings(trace):
        found = sum_identity(trace, routing)
        if family in BY_MODULE:
            assert found == Missing("what each expert returned is not recorded")
        else:
            assert isinstance(found, Identity)
            assert found.holds


@pytest.mark.parametrize("family", SHARING)
def test_a_shared_expert_without_a_gate_is_told(family: str) -> None:
    trace = watched(family)
    for routing in routings(trace):
        parts = shared_parts(trace, routing, [0])
        assert not isinstance(parts, Missing)
        assert parts[0].gate is None


def test_groups_whose_experts_count_0_are_masked_and_have_a_margin() -> None:
    for routing in routings(watched("axk2")):
        assert routing.selection is not None
        masked = (routing.selection.reshape(len(routing), 4, 2) == 0).all(axis=2)  # [N,G]
        assert (masked.sum(axis=1) == 2).all()
        assert np.isfinite(margins(routing.selection, routing.experts)).all()


def test_a_scoring_function_that_is_a_module_hides_no_logits() -> None:
    class Scoring(nn.Module):
        def forward(self, logits: torch.Tensor) -> torch.Tensor:
            return nn.functional.softplus(logits).sqrt()

    class Router(nn.Module):
        def __init__(self, stock: Any) -> None:
            super().__init__()
            self.weight, self.score_fn = stock.weight, Scoring()

        def forward(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            logits = nn.functional.linear(hidden.reshape(-1, hidden.shape[-1]), self.weight)  # [N,E]
            weights, experts = self.score_fn(logits).topk(3, dim=-1)  # [N,A] [N,A]
            return logits, weights / weights.sum(-1, keepdim=True), experts

    model = tiny("mixtral")
    for layer in model.model.layers:
        layer.mlp.gate = Router(layer.mlp.gate)
    trace = record_call(model, input_ids=prompt(), use_cache=False)
    for routing in routings(trace):
        assert routing.logits is not None
        assert routing.scores is not None
        np.testing.assert_array_equal(routing.logits, trace[f"{routing.site}.gate"])
        np.testing.assert_allclose(routing.scores, trace[f"{routing.site}.gate.score_fn"], rtol=1e-6)


def test_a_choice_by_token_has_scores_and_no_margin() -> None:
    class Router(nn.Module):
        def __init__(self, stock: Any) -> None:
            super().__init__()
            self.weight = stock.weight

        def forward(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            logits = nn.functional.linear(hidden.reshape(-1, hidden.shape[-1]), self.weight)  # [N,E]
            experts = (torch.arange(len(logits))[:, None] + torch.arange(3) * 2) % logits.shape[1]  # [N,A]
            weights = logits.sigmoid().gather(1, experts)  # [N,A]
            return logits, weights / weights.sum(-1, keepdim=True), experts

    model = tiny("mixtral")
    for layer in model.model.layers:
        layer.mlp.gate = Router(layer.mlp.gate)
    trace = record_call(model, input_ids=prompt(), use_cache=False)
    for routing in routings(trace):
        assert routing.scores is not None
        assert routing.selection is None
        assert routing.criterion is None
        assert routing.missing["selection scores"] == "the choice doesn't follow from the router's scores"


def test_what_a_router_skips_is_no_expert_s_load() -> None:
    model = tiny("zaya", num_experts_per_tok=1, eos_token_id=1)
    skipped = 0
    for layer in model.model.layers:
        layer.mlp.gate.balancing_biases[-1] = 0.7
    trace = record_call(model, input_ids=prompt(rows=2), use_cache=False)
    for routing in routings(trace):
        assert routing.weights is not None
        skips = routing.experts == 8
        np.testing.assert_array_equal(skips, routing.weights == 0)
        load = expert_load(*routing.taken)
        assert len(load.counts) == 8
        assert load.counts.sum() == (~skips).sum()
        assert {routing.name(8), routing.name(7)} == {"skip", "7"}
        found = sum_identity(trace, routing)
        assert isinstance(found, Identity)
        assert found.holds
        skipped += int(skips.sum())
    assert skipped


def test_a_module_that_changes_nothing_is_part_of_no_sum() -> None:
    model = tiny("mixtral")
    for layer in model.model.layers:
        mlp, experts = layer.mlp, layer.mlp.experts
        mlp.after = nn.Identity()
        mlp.forward = lambda hidden, mlp=mlp, experts=experts: mlp.after(_mixed(mlp, experts, hidden))
    trace = record_call(model, input_ids=prompt(), use_cache=False)
    for routing in routings(trace):
        found = sum_identity(trace, routing)
        assert isinstance(found, Identity), found
        assert found.holds


def _mixed(mlp: Any, experts: Any, hidden: torch.Tensor) -> Any:
    rows = hidden.reshape(-1, hidden.shape[-1])  # [N,D]
    _, weights, chosen = mlp.gate(rows)
    return experts(rows, chosen, weights).view_as(hidden)


@pytest.mark.parametrize("family", BY_MODULE)
def test_a_choice_outside_the_interface_is_the_one_that_is_used(family: str) -> None:
    trace = watched(family)
    for routing in routings(trace):
        assert routing.weights is not None
        if family == "llama4_text":
            used = trace[f"{routing.site}.router"]  # [N,E]: zeros but for the chosen
            np.testing.assert_array_equal(np.take_along_axis(used, routing.experts, axis=1), routing.weights)
            assert np.count_nonzero(used) == routing.experts.size
        elif family == "jetmoe":
            shares = np.sort(trace[f"{routing.site}.router#2"])
            np.testing.assert_allclose(np.sort(routing.weights.ravel()), shares, rtol=1e-6)
        else:
            np.testing.assert_array_equal(routing.experts, trace[f"{routing.site}.router#2"])
            assert routing.count == 12


def test_what_a_router_returned_tells_its_choice_only_where_it_fits() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 1.0, 5.0]])
    assert choice_of(logits, 2, 3) is None
    assert choice_of((logits, torch.tensor([0.5, 0.5, 0.1, 0.2])), 2, 3) is None
    found = choice_of((logits, torch.tensor([[0.4, 0.6], [0.5, 0.5]]), torch.tensor([[0, 1], [2, 1]])), 2, 3)
    assert found is not None
    assert found[0].tolist() == [[0, 1], [2, 1]]
    assert choice_of((logits, torch.ones(2, 2), torch.tensor([[0, 9], [2, 1]])), 2, 3) is None


def test_from_python_too_it_is_said_whose_routing_is_not_shown() -> None:
    class OwnMoE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(4, 2)

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            opened: torch.Tensor = self.gate(hidden).softmax(-1)
            return hidden * opened[..., :1]

    trace = record_call(OwnMoE(), torch.ones(1, 3, 4))
    assert "OwnMoE chooses its experts itself: its routing can't be shown" in trace.run.notes


def test_the_way_that_explains_all_to_the_last_bit_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[str] = []
    monkeypatch.setattr(
        routers, "_SCORES", {name: partial(_heard, scored, name, score) for name, score in routers._SCORES.items()}
    )
    logits = torch.randn(5, 8)
    scores = logits.softmax(-1)
    weights, experts = scores.topk(2)
    found = routers.explain([routers.Seen(torch.nn.Identity(), logits, None)], None, experts, weights, 8)
    assert found.weighed
    assert torch.equal(found.scores, scores)  # type: ignore[arg-type]
    assert scored == ["softmax"]


def _heard(scored: list[str], name: str, score: Any, logits: torch.Tensor) -> torch.Tensor:
    scored.append(name)
    made: torch.Tensor = score(logits)
    return made
