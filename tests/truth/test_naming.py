"""A right port is the same under any implementation's names and layouts, and a fault is named where it is made."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

import tracetui
from tests.truth.decoder import Decoder
from tests.truth.families import FAMILIES, IDS
from tests.truth.fault import damaged
from tests.truth.forward import dump
from tests.truth.naming import NAMINGS, Arrays, megatron, vllm
from tracetui.recording.value import Array

_FAULTS = {".self_attn.o_proj": "self_attn.o_proj.weight", ".mlp.up_proj": "mlp.up_proj.weight"}
_NEAREST = {
    "transformer_lens": {".self_attn.o_proj": ".self_attn"},
    "ggml": {".self_attn.o_proj": ".self_attn"},
    "ggml_last_position": {".self_attn.o_proj": ".self_attn"},
}
"""What is recorded there of a fault's place."""


@pytest.fixture(scope="module")
def dumps() -> dict[str, Arrays]:
    """What a right port kept, and what two wrong ones did, by the place of the fault."""
    decoder = FAMILIES["llama"]().decoder
    change: Callable[[str], Decoder] = lambda name: damaged(name, 1)(decoder)  # noqa: E731
    faulty = {place: dump(change(name), IDS, "full") for place, name in _FAULTS.items()}
    return {"": dump(decoder, IDS, "full"), **faulty}


@pytest.mark.parametrize("name", NAMINGS)
def test_a_right_port_is_the_same_under_its_own_names(name: str, dumps: dict[str, Arrays]) -> None:
    diff = tracetui.diff(NAMINGS[name](dumps[""]), FAMILIES["llama"]().reference)
    assert diff.same, diff.explained
    assert len(diff.report.comparison.sites) >= 3 * 10
    assert not diff.report.wrong_pairs


@pytest.mark.parametrize("place", _FAULTS)
@pytest.mark.parametrize("name", NAMINGS)
def test_a_fault_is_named_where_it_is_made(name: str, place: str, dumps: dict[str, Arrays]) -> None:
    finding = tracetui.diff(NAMINGS[name](dumps[place]), FAMILIES["llama"]().reference).report.finding
    assert finding is not None
    assert finding.site.site == f"model.layers.1{_NEAREST.get(name, {}).get(place, place)}"
    assert finding.at_fault


@pytest.mark.parametrize("name", ["vllm", "vllm_plain", "transformer_lens", "megatron_fused"])
def test_it_is_no_other_beside_what_hooks_keep_of_the_model(name: str, dumps: dict[str, Arrays]) -> None:
    hooks = dump(FAMILIES["llama"]().decoder, IDS, "hooks")
    assert tracetui.diff(NAMINGS[name](dumps[""]), hooks).same
    finding = tracetui.diff(NAMINGS[name](dumps[".mlp.up_proj"]), hooks).report.finding
    assert finding is not None
    assert finding.site.site == "model.layers.1.mlp.up_proj"


def with_every_residual(dump_: Arrays) -> dict[str, Array]:
    """vLLM's modules as a recorder sees them that keeps all that they return: norms hand the residual on as well."""
    layers = [name for name in dump_ if name.startswith("model.layers.") and name.count(".") == 2 and ":" not in name]
    stream = {name: dump_[name].reshape(-1, dump_[name].shape[-1]) for name in layers}
    entering = {f"{after}.input_layernorm#1": stream[name] for name, after in pairwise(layers)}
    return {**vllm(dump_), **entering, "model.norm#1": stream[layers[-1]], "model": vllm(dump_)["model.norm"]}


@pytest.mark.parametrize("front", ["", "model.", "llm.model.", "module.model.model."])
def test_an_engine_hands_the_residual_on_whatever_stands_before_its_names(front: str, dumps: dict[str, Arrays]) -> None:
    arrays = {f"{front}{name}": array for name, array in with_every_residual(dumps[""]).items()}
    diff = tracetui.diff(arrays, FAMILIES["llama"]().reference)
    assert diff.same, diff.explained
    sites = {site.site: site.pair.a.record.site.removeprefix(front) for site in diff.sites}
    assert sites["model.layers.2"] == "model.norm#1"
    assert "model.layers.0.mlp.down_proj:input" in sites
    assert "model.layers.0.mlp.act_fn" not in sites
    faulty = {f"{front}{name}": array for name, array in with_every_residual(dumps[".self_attn.o_proj"]).items()}
    finding = tracetui.diff(faulty, FAMILIES["llama"]().reference).report.finding
    assert finding is not None
    assert finding.site.site == "model.layers.1.self_attn.o_proj"
    assert finding.at_fault


def test_an_engine_is_known_where_no_values_tell(dumps: dict[str, Arrays]) -> None:
    """All of its numbers are another model's: what a layer hands on is never taken for its output."""
    other = {name: array + np.float32(5) for name, array in with_every_residual(dumps[""]).items()}
    sites = {site.site for site in tracetui.diff(other, FAMILIES["llama"]().reference).sites}
    assert "model.layers.0.mlp" in sites
    assert "model.layers.0.mlp.act_fn" not in sites
    by_name = {site.site: site.pair.a.record.site for site in tracetui.diff(other, FAMILIES["llama"]().reference).sites}
    assert by_name.get("model.layers.2") == "model.norm#1"


def test_tokens_may_stand_before_a_batch_of_two(dumps: dict[str, Arrays]) -> None:
    def doubled(arrays: Arrays) -> dict[str, Array]:
        return {name: np.concatenate([array, array[..., ::-1].copy()]) for name, array in arrays.items()}

    assert tracetui.diff(megatron(doubled(dumps[""])), doubled(dumps[""])).same


def test_flax_keeps_matrices_the_other_way_round() -> None:
    weight = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    kernel = {"params/model/layers/0/self_attn/q_proj/kernel": weight.T.copy()}
    assert tracetui.diff(kernel, {"model.layers.0.self_attn.q_proj.weight": weight}).same
    assert not tracetui.diff(kernel, {"model.layers.0.self_attn.q_proj.weight": weight.T.copy()}).same
