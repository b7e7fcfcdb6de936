"""Each planted fault is found where it was planted, and named as what it is and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from tests.analysis.diff import plants
from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.compare import compare
from tracetui.analysis.diff.report import Report, report
from tracetui.recording.trace import Trace
from tracetui.views.diff.report import verdict

LAYER = "model.layers.1"
CASES = (
    (plants.llama, plants.unrelated, f"{LAYER}.mlp.up_proj", ""),
    (plants.llama, plants.unrelated_attention, f"{LAYER}.self_attn.o_proj", ""),
    (plants.llama, plants.one_column, f"{LAYER}.self_attn.q_proj", "weight-rows"),
    (plants.llama, plants.unrelated_norm, f"{LAYER}.input_layernorm", ""),
    (plants.llama, plants.rounding, "model.embed_tokens", "coarse"),
    (plants.llama, plants.rope_rows, "model.layers.0.self_attn.q_proj", "rope-layout"),
    (plants.llama, plants.rope_pairs, "model.layers.0.self_attn:q", "rope-layout"),
    (plants.deepseek, plants.not_interleaved, "model.layers.0.self_attn:q", "rope-layout"),
    (plants.llama, plants.tiled_heads, "model.layers.0.self_attn:heads", "kv-heads"),
    (plants.llama, plants.no_scale, "model.layers.0.self_attn:heads", "softmax-scale"),
    (plants.llama, plants.mask_ahead, "model.layers.0.self_attn:heads", "mask"),
    (plants.llama, plants.mask_behind, "model.layers.0.self_attn:heads", "mask"),
    (plants.llama, plants.no_mask, "model.layers.0.self_attn:heads", "mask"),
    (plants.llama, plants.epsilon, f"{LAYER}.input_layernorm", "norm-epsilon"),
    (plants.llama, plants.norm_scaled, f"{LAYER}.input_layernorm", "norm-scale"),
    (plants.llama, plants.norm_one_plus, f"{LAYER}.post_attention_layernorm", "norm-scale"),
    (plants.llama, plants.transposed, f"{LAYER}.self_attn.o_proj", "transposed-weight"),
    (plants.llama, plants.transposed_q, f"{LAYER}.self_attn.q_proj", "transposed-weight"),
    (plants.llama, plants.permuted, f"{LAYER}.mlp.gate_proj", "permuted-weight"),
    (plants.llama, plants.gate_for_up, f"{LAYER}.mlp.gate_proj", "swapped-weights"),
    (plants.llama, plants.keys_for_values, f"{LAYER}.self_attn.k_proj", "swapped-weights"),
    (plants.llama, plants.rope_base, "model.rotary_emb", "rope-base"),
    (plants.llama, plants.rope_linear, "model.rotary_emb", "rope-scaling"),
    (plants.llama, plants.rope_llama3, "model.rotary_emb", "rope-scaling"),
    (plants.llama, plants.rope_yarn, "model.rotary_emb", "rope-scaling"),
    (plants.llama, plants.no_rope, "model.layers.0.self_attn:q", "rope-missing"),
    (plants.qwen2, plants.no_bias, f"{LAYER}.self_attn.k_proj", "bias"),
    (plants.llama, plants.untied, "lm_head", "tied-embeddings"),
    (plants.mixtral, plants.not_normalised, f"{LAYER}.mlp.", "expert-weights"),
    (plants.deepseek, plants.not_scaled, f"{LAYER}.mlp.", "expert-weights"),
    (plants.deepseek, plants.epsilon, f"{LAYER}.input_layernorm", "norm-epsilon"),
    (plants.mixtral, plants.unrelated_attention, f"{LAYER}.self_attn.o_proj", ""),
)


@cache
def sound(model: plants.Model) -> Trace:
    return plants.traced(model())


@pytest.mark.parametrize(("model", "plant", "site", "hint"), CASES, ids=lambda found: getattr(found, "__name__", None))
@pytest.mark.parametrize("faulty", ["A", "B"])
def test_a_planted_fault_is_found_and_named(
    model: plants.Model, plant: plants.Plant, site: str, hint: str, faulty: str
) -> None:
    right, wrong = sound(model), plants.traced(model(), plant)
    found = report(wrong, right) if faulty == "A" else report(right, wrong)
    assert found.first is not None
    assert found.first.site.startswith(site)
    assert found.feeds is not None
    assert found.feeds.agree or not found.feeds.found
    assert [one.name for one in found.hints] == ([hint] if hint else []), found.hints


@pytest.mark.parametrize(
    ("plant", "hint"),
    [
        (plants.mask_ahead, "mask"),
        (plants.no_scale, "softmax-scale"),
        (plants.tiled_heads, "kv-heads"),
        (plants.rope_pairs, "rope-layout"),
        (plants.rope_base, "rope-base"),
        (plants.no_rope, "rope-missing"),
    ],
)
def test_a_port_that_hands_over_heads_but_no_queries_is_told_what_they_look_like(
    plant: plants.Plant, hint: str
) -> None:
    wrong = plants.traced(plants.llama(), plant)
    arrays = {}
    for record in wrong.records:
        if record.site.endswith(("embed_tokens", "layernorm", "_proj")):
            arrays[record.site] = wrong[record.key]
        elif record.role == "heads":
            heads = wrong[record.key].swapaxes(1, 2)
            arrays[record.site] = heads.reshape(*heads.shape[:2], -1)
    found = report(trace_of(arrays, dump=True), sound(plants.llama))
    assert found.first is not None
    assert found.first.site == "model.layers.0.self_attn:heads"
    assert [one.name for one in found.hints] == [hint]


@pytest.mark.parametrize(
    ("plant", "hint"),
    [
        (plants.rope_pairs, "scores"),
        (plants.rope_base, "scores"),
        (plants.no_scale, "scores"),
        (plants.mask_ahead, ""),
        (plants.tiled_heads, ""),
        (plants.rope_rows, "rope-layout"),
    ],
)
def test_of_projections_alone_the_first_token_tells_whether_scores_differ(plant: plants.Plant, hint: str) -> None:
    wrong = plants.traced(plants.llama(), plant)
    arrays = {record.site: wrong[record.key] for record in wrong.records if record.site.endswith("_proj")}
    found = report(trace_of(arrays, dump=True), sound(plants.llama))
    assert found.first is not None
    assert found.first.site == f"model.layers.0.self_attn.{'q' if hint == 'rope-layout' else 'o'}_proj"
    assert [one.name for one in found.hints] == ([hint] if hint else [])


@pytest.mark.parametrize(
    ("plant", "hint", "told"),
    [
        (plants.rope_base, "rope-base", "500,000 in A, 10,000 in B"),
        (plants.rope_linear, "rope-scaling", "divided by 4 (linear scaling) in A"),
        (plants.rope_llama3, "rope-scaling", "scaled in A alone"),
    ],
)
def test_how_fast_positions_turn_is_seen_in_q_and_k_too(plant: plants.Plant, hint: str, told: str) -> None:
    def without_table(trace: Trace) -> Trace:
        return trace_of({record.key: trace[record.key] for record in trace.records if "rotary" not in record.site})

    wrong, right = plants.traced(plants.llama(), plant), sound(plants.llama)
    found = report(without_table(wrong), without_table(right))
    assert found.first is not None
    assert found.first.site == "model.layers.0.self_attn:q"
    assert [one.name for one in found.hints] == [hint]
    assert told in found.hints[0].title
    assert told in report(wrong, right).hints[0].title


def test_rounding_alone_is_no_difference() -> None:
    again = plants.llama()
    again.set_attn_implementation("sdpa")
    found = compare(plants.traced(again), sound(plants.llama))
    assert found.same
    assert found.compared > 40


def of(plant: plants.Plant) -> Report:
    return report(plants.traced(plants.llama(), plant), sound(plants.llama))


def test_the_evidence_has_the_planted_numbers() -> None:
    (epsilon,) = of(plants.epsilon).hints
    assert "larger in A by 0.01" in epsilon.title
    (scale,) = of(plants.no_scale).hints
    assert "1 in A, 0.353553 in B" in scale.title
    (norm,) = of(plants.norm_scaled).hints
    assert "from 1.5 to 1.5" in norm.evidence
    (heads,) = of(plants.tiled_heads).hints
    assert "key-value head h mod 2 in A, h·2//4 in B" in heads.title
    (mask,) = of(plants.mask_ahead).hints
    assert "one position ahead in A, as far as itself in B" in mask.title


@pytest.mark.parametrize(
    ("plant", "hint"),
    [
        (plants.one_column, "Rows 5 of q_proj's weight are zeros in A: they weren't read"),
        (plants.norm_scaled, "The norm's scale is another"),
        (plants.up_scaled, "A = 1.25·B everywhere"),
        (plants.unrelated_attention, ""),
    ],
)
def test_a_weight_that_differs_is_named_first_and_then_how(plant: plants.Plant, hint: str) -> None:
    found = of(plant)
    assert found.finding is not None
    assert found.finding.weights == found.comparison.weights.pairs
    assert len(found.finding.weights) == 1
    assert not found.at_fault
    assert "no fault of what computes there" in verdict(found)
    assert [one.title for one in found.hints] == ([hint] if hint else [])


def test_a_fault_beside_equal_weights_is_one_of_what_computes() -> None:
    found = of(plants.epsilon)
    assert not found.comparison.weights.pairs
    assert found.at_fault


def never_trained() -> plants.Model:
    """Its norms multiply by 1 in every layer, as initialisation leaves them."""
    model = plants.llama()
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.ones_(weight)
    return model


def another_epsilon(model: plants.Model, patch: pytest.MonkeyPatch) -> None:
    for module in model.modules():
        if hasattr(module, "variance_epsilon"):
            patch.setattr(module, "variance_epsilon", 1e-4)


@pytest.mark.parametrize("faulty", ["A", "B"])
def test_equal_norms_of_all_layers_are_not_called_another_layers(faulty: str) -> None:
    port, reference = plants.traced(never_trained(), another_epsilon), sound(never_trained)
    found = report(port, reference) if faulty == "A" else report(reference, port)
    assert found.first is not None
    assert found.first.site == "model.layers.0.input_layernorm"
    (hint,) = found.hints
    assert f"epsilon is larger in {faulty} by 9.9e-05" in hint.title


@pytest.mark.parametrize("shift", [1, 3])
def test_positions_that_begin_elsewhere(shift: int) -> None:
    positions = torch.arange(plants.TOKENS)[None] + shift
    moved = plants.traced(plants.llama(), position_ids=positions)
    found = report(moved, sound(plants.llama))
    assert found.first is not None
    assert found.first.site == "model.rotary_emb"
    (hint,) = found.hints
    assert hint.title == f"A's positions are {shift} further on than B's"


def test_positions_are_seen_in_the_angles_too() -> None:
    moved = plants.traced(plants.llama(), position_ids=torch.arange(plants.TOKENS)[None] + 2)
    right = sound(plants.llama)

    def without_table(trace: Trace) -> Trace:
        kept = [record for record in trace.records if "rotary" not in record.site]
        records = tuple(replace(record, index=index) for index, record in enumerate(kept))
        return replace(trace, records=records, values=tuple(trace.value(record) for record in kept))

    found = report(without_table(moved), without_table(right))
    assert found.first is not None
    assert found.first.site == "model.layers.0.self_attn:q"
    assert [hint.name for hint in found.hints] == ["position-offset"]
    assert "A's positions are 2 further on" in found.hints[0].title


@pytest.mark.parametrize("shift", [1, -1])
def test_a_mask_that_was_passed_off_by_one(shift: int) -> None:
    def mask(shift: int) -> torch.Tensor:
        hidden = torch.ones(plants.TOKENS, plants.TOKENS, dtype=torch.bool).triu(1 + shift)
        return torch.zeros(1, 1, plants.TOKENS, plants.TOKENS).masked_fill(hidden, torch.finfo(torch.float32).min)

    wrong, right = (plants.traced(plants.llama(), attention_mask=mask(by)) for by in (shift, 0))
    found = report(wrong, right)
    assert found.first is not None
    assert found.first.site == "model.layers.0.self_attn:mask"
    (hint,) = found.hints
    assert hint.name == "mask"
    assert ("A's queries see one position further" in hint.title) == (shift == 1)


@pytest.mark.parametrize(
    ("plant", "hint"),
    [
        (plants.rope_pairs, "rope-layout"),
        (plants.rope_rows, "rope-layout"),
        (plants.tiled_heads, "kv-heads"),
        (plants.transposed, "transposed-weight"),
        (plants.norm_scaled, "norm-scale"),
        (plants.gate_for_up, "swapped-weights"),
        (plants.rope_base, "rope-base"),
        (plants.rope_linear, "rope-scaling"),
        (plants.unrelated, ""),
        (plants.unrelated_attention, ""),
    ],
)
def test_faults_are_named_in_bf16_too(plant: plants.Plant, hint: str) -> None:
    wrong, right = (plants.traced(plants.llama().bfloat16(), fault) for fault in (plant, plants.nothing))
    assert [one.name for one in report(wrong, right).hints] == ([hint] if hint else [])


def test_bf16_beside_float32_is_rounding_alone() -> None:
    half = plants.traced(plants.llama().bfloat16(), plants.nothing)
    full = plants.traced(plants.llama(), plants.rounding)
    found = report(half, full)
    assert found.first is None or found.carried
    assert found.hints == ()


@pytest.mark.parametrize("key", [(1, 2, 3, 4), (1, 1, 5, 4), (2, 2, 3, 8), (3, 8)])
def test_heads_that_don_t_go_with_their_inputs_give_no_hint(key: tuple[int, ...]) -> None:
    site = "model.layers.0.self_attn"
    shared = {f"{site}:q": normal(1, 1, 3, 8), f"{site}:k": normal(*key), f"{site}:v": normal(1, 1, 3, 8)}
    a, b = (trace_of({**shared, f"{site}:heads": normal(1, 2, 3, 8, seed=seed)}) for seed in (1, 2))
    found = report(a, b)
    assert found.first is not None
    assert found.first.site == f"{site}:heads"
    assert not found.hints
