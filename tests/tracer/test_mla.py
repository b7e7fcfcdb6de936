"""Latent attention seen from outside: the latent, the rotary key, and the query that meets the latent itself."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tracer.latent_models import EXPERTS, FAMILIES, LATENT, fields, tiny
from tests.tracer.models import prompt, seeded, tiny_llama
from tracetui.analysis.attention.scores import attention_at
from tracetui.debugger.session import Event, Started
from tracetui.models.runnable import make_runnable
from tracetui.models.weights.streaming import Making, Weights
from tracetui.recipe import Layers, Recipe
from tracetui.recording.trace import Trace
from tracetui.tracer.attention.kernel_call import KernelCall
from tracetui.tracer.attention.mla import LatentCall, Latents
from tracetui.tracer.call import record_call
from tracetui.tracer.run import trace_recipe

NOPE, ROPE, RANK = LATENT["qk_nope_head_dim"], LATENT["qk_rope_head_dim"], LATENT["kv_lora_rank"]
ROLES = ("kv_latent", "k_rope", "q_absorbed")


def attentions(trace: Trace) -> list[str]:
    """The paths of the attention modules; longcat has two in a layer."""
    return [query.removesuffix(":q") for query in trace.attention]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_result_is_that_of_the_unwatched_model_bit_for_bit(family: str, dtype: torch.dtype) -> None:
    model = tiny(family).to(dtype)
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:] = 0
    inputs: dict[str, Any] = {"input_ids": prompt(rows=2), "attention_mask": mask, "use_cache": False}
    with torch.no_grad():
        stock = model(**inputs).logits
        trace = record_call(model, **inputs)
        again = model(**inputs).logits
    np.testing.assert_array_equal(trace["logits"], stock.float().numpy())
    assert torch.equal(stock, again)
    assert all(f"{path}:{role}" in trace for path in attentions(trace) for role in ROLES)


@pytest.mark.parametrize("family", ["deepseek_v32", "glm_moe_dsa"])
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("masked", [True, False])
def test_sparse_attention_leaves_out_what_its_indexer_did(family: str, kernel: str, masked: bool) -> None:
    """These modules hand their choice of keys to kernels that they don't know by name in another form."""
    chosen = {"index_topk": 3, "index_n_heads": 2, "index_head_dim": 8, "head_dim": 4}
    config = AutoConfig.for_model(family, **LATENT, **EXPERTS, **chosen)
    model = seeded(AutoModelForCausalLM.from_config, config)
    model.set_attn_implementation(kernel)
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:] = 0
    inputs: dict[str, Any] = {"input_ids": prompt(rows=2), "use_cache": False}
    inputs |= {"attention_mask": mask} if masked else {}
    with torch.no_grad():
        stock = model(**inputs).logits
    trace = record_call(model, **inputs)
    np.testing.assert_array_equal(trace["logits"], stock.numpy())
    view = attention_at(trace, next(record for record in trace.records if record.role == "q"))
    assert view is not None
    seen = np.isfinite(view.matrix("masked", 0)).sum(axis=1)
    assert seen.tolist() == [1, 2, 3, 3, 3, 3, 3, 3, 3]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_latent_way_gives_the_scores_that_the_kernel_computes(family: str) -> None:
    trace = record_call(tiny(family), input_ids=prompt(rows=2), use_cache=False)
    assert len(attentions(trace)) == 2
    for path in attentions(trace):
        q, k = trace[f"{path}:q"], trace[f"{path}:k"]  # [B,H,T,K] [B,H,S,K]
        latent, rope, absorbed = (trace[f"{path}:{role}"] for role in ROLES)
        assert (latent.shape, rope.shape, absorbed.shape) == ((2, 9, RANK), (2, 9, ROPE), (2, 4, 9, RANK))
        naive = q @ k.swapaxes(2, 3)  # [B,H,T,S]
        other = absorbed @ latent[:, None].swapaxes(2, 3) + q[..., NOPE:] @ rope[:, None].swapaxes(2, 3)  # [B,H,T,S]
        np.testing.assert_allclose(other, naive, rtol=1e-4, atol=1e-5 * np.abs(naive).max())


def test_the_latent_is_what_kv_b_proj_expands() -> None:
    model = tiny("deepseek_v3")
    trace = record_call(model, input_ids=prompt(), use_cache=False)
    latent = torch.from_numpy(trace["model.layers.1.self_attn:kv_latent"])  # [B,S,R]
    with torch.no_grad():
        made = model.model.layers[1].self_attn.kv_b_proj(latent).view(1, 9, 4, -1)  # [B,S,H,nope+Kv]
    np.testing.assert_allclose(made[..., :NOPE].transpose(1, 2), trace["model.layers.1.self_attn:k"][..., :NOPE], 1e-5)
    np.testing.assert_allclose(made[..., NOPE:].transpose(1, 2), trace["model.layers.1.self_attn:v"], 1e-5)


def test_they_stand_between_the_kernels_inputs_and_its_output() -> None:
    trace = record_call(tiny("deepseek_v3"), input_ids=prompt(), use_cache=False)
    roles = [record.role for record in trace.records if record.site.startswith("model.layers.1.self_attn:")]
    assert [role for role in roles if role != "mask"] == ["q", "k", "v", *ROLES, "heads"]


def test_other_attention_has_none_of_it() -> None:
    trace = record_call(tiny_llama(), input_ids=prompt(), use_cache=False)
    assert not {record.role for record in trace.records} & set(ROLES)


def test_with_a_cache_the_latent_of_all_positions_is_seen() -> None:
    model = tiny("deepseek_v3")
    with torch.no_grad():
        cache = model(input_ids=prompt(), use_cache=True).past_key_values
    trace = record_call(model, input_ids=prompt()[:, -1:], past_key_values=cache, use_cache=True)
    assert trace["model.layers.0.self_attn:kv_latent"].shape == (1, 10, RANK)
    assert trace["model.layers.0.self_attn:q_absorbed"].shape == (1, 4, 1, RANK)


@pytest.mark.parametrize("family", ["deepseek_v2", "deepseek_v3", "minicpm3"])
def test_streamed_weights_give_what_resident_ones_do(family: str) -> None:
    made = {**fields(family), "vocab_size": 4200}
    recipes = [
        Recipe("tiny", "tiny", "tiny.toml", made, Layers(0, 2), "float32", memory=memory) for memory in (0, 2**30)
    ]
    streamed, resident = (trace_recipe(recipe, ids=[5, 8, 3, 9]) for recipe in recipes)
    assert [record.key for record in streamed.records] == [record.key for record in resident.records]
    for record in streamed.records:
        np.testing.assert_array_equal(streamed[record.key], resident[record.key], record.key)
        assert not np.isnan(streamed[record.key]).any(), record.key
    assert any(record.role == "q_absorbed" for record in streamed.records)


VIEWS = (":v", ":kv_latent", ":k_rope", "layernorm:input", "b_proj:input", "o_proj:input", "experts:input")
"""What is a part of another record's tensor, or that itself, seen in another shape."""


def test_the_memory_plan_has_room_for_all_that_is_recorded() -> None:
    made = {**fields("deepseek_v3"), "vocab_size": 4200}
    recipe = Recipe("tiny", "tiny", "tiny.toml", made, Layers(0, 2), "float32")
    plans: list[Event] = []
    trace = trace_recipe(recipe, ids=[5, 8, 3, 9] * 10, emit=plans.append)
    (plan,) = [event.plan for event in plans if isinstance(event, Started)]
    pairs = zip(trace.records, trace.values, strict=True)
    own = {id(value): record.numel * 4 for record, value in pairs if not record.site.endswith(VIEWS)}
    kept = sum(own.values())
    # The router's few numbers are planned by the number of experts.
    assert 0.99 * kept <= plan.activations < 1.5 * kept


def test_what_expands_the_latent_is_there_for_its_attention_only_and_counted() -> None:
    made = {**fields("deepseek_v3"), "vocab_size": 4200}
    runnable = make_runnable(Recipe("tiny", "tiny", "tiny.toml", made, Layers(0, 2), "float32", memory=0))
    attention = runnable.built.module.get_submodule("model.layers.0.self_attn")
    projection, output = attention.get_submodule("kv_b_proj"), attention.get_submodule("o_proj")

    def there(module: nn.Module) -> bool:
        return "weight" in dict(runnable.weights.present(module))

    weights = runnable.weights
    weights.put_in(projection, lambda *_: None)
    assert there(projection)
    weights.take_out(projection)
    assert not there(projection)
    assert not there(output)
    both = sum(module.get_parameter("weight").nbytes for module in (projection, output))
    lm_head = runnable.built.module.get_submodule("lm_head").get_parameter("weight").nbytes
    experts = runnable.built.module.get_submodule("model.layers.1.mlp.experts")
    one_expert = sum(parameter.nbytes // 4 for parameter in experts.parameters())
    assert weights.largest_passing_bytes == max(both, lm_head, one_expert)


def test_no_weight_that_expands_the_latent_outlives_its_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {**fields("deepseek_v3"), "vocab_size": 4200}
    recipe = Recipe("tiny", "tiny", "tiny.toml", made, Layers(0, 2), "float32", memory=0)
    halves: list[weakref.ref[torch.Tensor]] = []
    left: list[int] = []
    roles, put_in = Latents.roles, Weights.put_in

    def listened(latents: Latents, call: KernelCall) -> Iterator[tuple[str, torch.Tensor]]:
        yield from roles(latents, call)
        halves.extend(weakref.ref(held.value_half) for held in gc.get_objects() if isinstance(held, LatentCall))

    def watched(weights: Weights, module: nn.Module, making: Making) -> None:
        if any(slot.spec.name == "lm_head.weight" for slot in weights.of(module)):
            left.append(sum(half() is not None for half in halves))
        put_in(weights, module, making)

    monkeypatch.setattr(Latents, "roles", listened)
    monkeypatch.setattr(Weights, "put_in", watched)
    trace_recipe(recipe, ids=[5, 8, 3, 9])
    assert halves
    assert left == [0]
