"""A right port is the same under any implementation's names and layouts, and a fault is named where it is made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tracetui
from tests.truth.decoder import Decoder
from tests.truth.families import FAMILIES, IDS
from tests.truth.fault import damaged
from tests.truth.forward import dump
from tests.truth.naming import NAMINGS, Arrays, megatron
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


def test_tokens_may_stand_before_a_batch_of_two(dumps: dict[str, Arrays]) -> None:
    def doubled(arrays: Arrays) -> dict[str, Array]:
        return {name: np.concatenate([array, array[..., ::-1].copy()]) for name, array in arrays.items()}

    assert tracetui.diff(megatron(doubled(dumps[""])), doubled(dumps[""])).same


def test_flax_keeps_matrices_the_other_way_round() -> None:
    weight = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    kernel = {"params/model/layers/0/self_attn/q_proj/kernel": weight.T.copy()}
    assert tracetui.diff(kernel, {"model.layers.0.self_attn.q_proj.weight": weight}).same
    assert not tracetui.diff(kernel, {"model.layers.0.self_attn.q_proj.weight": weight.T.copy()}).same
