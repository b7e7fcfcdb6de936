"""Right pairs of which single sites are off: no operation is blamed for what rounding may have made of its inputs."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

import tracetui
from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import report
from tracetui.recording.value import Array
from tracetui.views.diff.report import verdict

_DOWN = "model.layers.0.mlp.down_proj"
_NORM = "model.layers.0.input_layernorm"
_QUERY = "model.layers.0.self_attn.q_proj"
_SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def _cancelling() -> tuple[dict[str, Array], dict[str, Array]]:
    """A projection that makes much of one direction, of which most tokens have next to nothing; in bf16 and float32."""
    x, weight = torch.from_numpy(normal(1, 9, 64)), torch.from_numpy(normal(64, 64, seed=1)) / 8
    weight[0] *= 300
    x[0, 3:] -= (x[0, 3:] @ weight[0])[:, None] * weight[0] / weight[0].square().sum()  # [6,64]
    rounded = x.bfloat16()
    low = {f"{_DOWN}:input": rounded.float().numpy(), _DOWN: (rounded @ weight.bfloat16().T).float().numpy()}
    return low, {f"{_DOWN}:input": x.numpy(), _DOWN: (x @ weight.T).numpy()}


def _told(low: dict[str, Array], high: dict[str, Array]) -> str:
    found = report(trace_of(low, dtypes=dict.fromkeys(low, "bfloat16")), trace_of(high))
    return verdict(found)


def test_what_cancels_is_no_fault_of_the_projection() -> None:
    told = _told(*_cancelling())
    assert told.endswith("1 of them beyond tolerance by no more than rounding of their inputs makes."), told


def test_what_cancels_is_not_called_the_same_where_something_else_is_off() -> None:
    low, high = _cancelling()
    behind = normal(1, 9, 64, seed=5)
    told = _told({**low, "model.norm": behind}, {**high, "model.norm": behind * np.float32(1.5)})
    assert told.startswith("Different: 2 of"), told
    assert told.endswith("where what its inputs bring along passes the tolerance."), told


def test_heads_are_not_explained_by_the_size_of_what_they_are_made_of() -> None:
    """Another softmax scale makes them no longer than before."""
    path, (q, k, v) = "model.layers.0.self_attn", (normal(1, 2, 6, 8, seed=seed) for seed in range(3))
    hidden = np.triu(np.ones((6, 6), np.bool_), 1)

    def run(scale: float, rounded: bool) -> dict[str, Array]:
        arrays = {f"{path}:{role}": array for role, array in (("q", q), ("k", k), ("v", v))}
        if rounded:
            arrays = {site: torch.from_numpy(array).bfloat16().float().numpy() for site, array in arrays.items()}
        scores = np.where(hidden, -np.inf, arrays[f"{path}:q"] @ arrays[f"{path}:k"].swapaxes(-1, -2) * scale)
        probs = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
        return {**arrays, f"{path}:heads": (probs @ arrays[f"{path}:v"]).astype(np.float32)}

    assert _told(run(0.35, rounded=True), run(0.35, rounded=False)).startswith("Same")
    for scale in (0.45, 0.6):
        assert _told(run(scale, rounded=True), run(0.35, rounded=False)).startswith("Different")


def test_a_row_that_nothing_explains_beside_one_that_cancels_is_told() -> None:
    low, high = _cancelling()
    low[_DOWN][0, 0] *= 1.2
    assert _told(low, high).startswith("Different: 1 of")


def test_a_token_that_is_off_by_more_than_its_rounding_is() -> None:
    low, high = _cancelling()
    low[_DOWN][0, 1] *= 1.3
    assert "inputs agree" in _told(low, high)


@pytest.mark.parametrize(
    ("rounding", "end"), [(1e-7, "may have changed."), (0.0, "the fault is there or just before.")]
)
def test_whole_numbers_are_blamed_only_if_what_they_are_made_of_is_the_same(rounding: float, end: str) -> None:
    scores, chosen = normal(1, 4, 8), np.arange(16).reshape(1, 4, 4)
    other = chosen.copy()
    other[0, 1, 2] += 1
    a = trace_of({_NORM: scores * np.float32(1 + rounding), _QUERY: other})
    assert verdict(report(a, trace_of({_NORM: scores, _QUERY: chosen}))).endswith(end)


def test_masks_are_the_same_for_every_kernel_and_dtype() -> None:
    torch.manual_seed(0)
    made = MistralForCausalLM(MistralConfig(**_SIZES, sliding_window=3)).eval()
    ids = torch.arange(3, 10)[None]
    booleans = tracetui.trace(made, input_ids=ids)
    made.config._attn_implementation = "eager"
    added = tracetui.trace(made, input_ids=ids)
    assert booleans["model.layers.0.self_attn:mask"].dtype == np.bool_
    assert added["model.layers.0.self_attn:mask"].dtype == np.float32
    assert tracetui.diff(booleans, added).same
    assert tracetui.diff(tracetui.trace(copy.deepcopy(made).half(), input_ids=ids), added).same
    made.config.sliding_window = 4
    found = tracetui.diff(booleans, tracetui.trace(made, input_ids=ids))
    assert [hint.name for hint in found.report.hints] == ["window"]


def test_masks_that_do_more_than_hide_are_compared_by_what_they_add() -> None:
    hidden, bias = np.triu(np.ones((4, 4), np.bool_), 1)[None, None], normal(1, 1, 4, 4)
    site = "model.layers.0.self_attn:mask"
    single = np.where(hidden, np.finfo(np.float32).min, bias)
    half = np.where(hidden, np.float32(np.finfo(np.float16).min), bias)
    other = np.where(hidden, half, 0).astype(np.float32)

    def same(a: Array) -> bool:
        return report(trace_of({site: a}, dtypes={site: "float16"}), trace_of({site: single})).comparison.same

    assert same(half)
    assert not same(other)


def test_scores_behind_a_mask_are_the_same_whatever_hides() -> None:
    site = "model.layers.0.self_attn:masked"
    scores, hidden = normal(1, 1, 4, 4), np.triu(np.ones((4, 4), np.bool_), 1)[None, None]
    single, half = (np.where(hidden, np.float32(least), scores) for least in (-1e9, -1e4))
    single[..., 0, 0], half[..., 0, 0] = -1e5, -1e3

    def same(a: Array) -> bool:
        return report(trace_of({site: a}), trace_of({site: single})).comparison.same

    assert same(half)
    assert not same(np.where(hidden, half, scores + (scores == scores[0, 0, 2, 1])))
    assert not same(np.where(hidden[..., ::-1, :], half, scores))


def test_a_dump_that_made_floats_of_complex_values_is_the_same() -> None:
    site = "model.rotary_emb"
    turned = normal(1, 4, 8) + 1j * normal(1, 4, 8, seed=1)
    real = np.ascontiguousarray(turned.real)
    assert report(trace_of({site: real}, dump=True), trace_of({site: turned})).comparison.same
    assert not report(trace_of({site: real + 1}, dump=True), trace_of({site: turned})).comparison.same


def test_a_right_llama_with_one_long_row_of_a_weight_is_the_same_in_bf16() -> None:
    torch.manual_seed(0)
    made = LlamaForCausalLM(LlamaConfig(**_SIZES)).eval()
    with torch.no_grad():
        made.model.layers[0].mlp.down_proj.weight[7] *= 300
    ids = torch.arange(3, 12)[None]
    single = tracetui.trace(made, input_ids=ids)
    found = tracetui.diff(tracetui.trace(made.bfloat16(), input_ids=ids), single)
    assert found.same, str(found)


def _of_one_channel() -> tuple[dict[str, Array], dict[str, Array]]:
    """A projection with one huge column, of whose channel only two tokens have anything; in bf16 and float32."""
    x, weight = torch.from_numpy(normal(1, 9, 64)), torch.from_numpy(normal(64, 64, seed=1)) / 8
    weight[:, 7] *= 3000
    x[..., 7] = 0
    x[0, 4, 7], x[0, 5, 7] = 0.02, 0.3
    low = x.bfloat16().float()
    low[0, 5, 7] *= 1.02
    arrays = {f"{_DOWN}:input": low.numpy(), _DOWN: (low @ weight.T).bfloat16().float().numpy()}
    return arrays, {f"{_DOWN}:input": x.numpy(), _DOWN: (x @ weight.T).numpy()}


def test_one_factor_of_one_huge_token_is_no_factor_of_the_projection() -> None:
    assert _told(*_of_one_channel()).startswith("Same")


def test_one_factor_of_all_tokens_is() -> None:
    low, high = _of_one_channel()
    low[_DOWN] *= np.float32(1.03)
    assert "inputs agree" in _told(low, high)


def test_one_factor_of_one_huge_channel_is_no_factor_of_the_projection() -> None:
    """Rounding of one row of the weight, in tokens that are all but one direction."""
    x = normal(1, 9, 64) / 50 + normal(1, 1, 64, seed=2)
    weight = normal(64, 64, seed=1) / 8
    weight[7] *= 300
    rounded = weight.copy()
    rounded[7] *= np.float32(1.018)
    low, high = ({f"{_DOWN}:input": x, _DOWN: x @ each.T} for each in (rounded, weight))
    assert _told(low, high).startswith("Same")
    assert "inputs agree" in _told({**low, _DOWN: high[_DOWN] * np.float32(1.018)}, high)


def test_few_rows_of_an_expert_with_one_huge_channel_are_no_fault() -> None:
    """By one channel alone, what two rows are says little of what rounding may do to a third."""
    weight = normal(64, 64, seed=1) / 8
    weight[7] *= 300
    along = weight[7] / np.linalg.norm(weight[7])
    low: dict[str, Array] = {}
    high: dict[str, Array] = {}
    for expert, count in enumerate((2, 16)):
        x = normal(count, 64, seed=expert + 3)
        x[:2] -= 0.6 * np.outer(x[:2] @ along, along)
        moved = x.copy()
        moved[0] += (0.0 if expert else 0.01) * np.linalg.norm(x[0]) * along
        site = f"model.layers.0.mlp.experts.{expert}"
        low |= {f"{site}:in": moved, site: moved @ weight.T}
        high |= {f"{site}:in": x, site: x @ weight.T}
    told = _told(low, high)
    assert "fault" not in told, told


def test_what_one_huge_channel_makes_of_its_rounding_is_no_fault() -> None:
    low, high = _of_one_channel()
    column = high[_DOWN][0, 5] / 0.3
    for arrays, rounding in ((low, 1.0), (high, 0.0)):
        arrays[f"{_DOWN}:input"][0, 4, 7] += rounding * 0.03
        arrays[_DOWN][0, 4] += rounding * 0.03 * column
    assert "by no more than rounding of their inputs" in _told(low, high)


def test_more_than_the_channel_makes_of_it_is() -> None:
    low, high = _of_one_channel()
    low[_DOWN][0, 4] *= 3.0
    assert "inputs agree" in _told(low, high)
