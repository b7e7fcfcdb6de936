"""What each rank says of its part: put together, the parts are what one process records."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import tracetui
from tests.distributed.models import IDS, whole
from tests.distributed.ranks import on_ranks, spoilt, spread
from tracetui.recording.parallel import Parallel, Place
from tracetui.recording.value import Array

Piece = tuple[Array, Place]
_ROUNDING = 2e-6


def _recorded(model: nn.Module, *inputs: torch.Tensor) -> tuple[dict[str, Piece], Parallel | None, tuple[str, ...]]:
    trace = tracetui.trace(model, *(inputs or (IDS,))).recorded
    pieces = {record.key: (trace[record.key], record.place) for record in trace.records}
    return pieces, trace.run.parallel, tuple(trace.run.notes)


def _on_rank(rank: int, family: str, sizes: dict[str, int]) -> Any:
    return _recorded(spread(whole(family), **sizes))


@cache
def _expected(family: str) -> dict[str, Array]:
    threads = torch.get_num_threads()
    # As on each rank: kernels may cut their work by them.
    torch.set_num_threads(1)
    try:
        return {key: array for key, (array, _) in _recorded(whole(family))[0].items()}
    finally:
        torch.set_num_threads(threads)


def _together(ranks: list[dict[str, Piece]]) -> dict[str, Array]:
    """The whole tensors, from each rank's pieces."""
    pieces: defaultdict[str, list[Piece]] = defaultdict(list)
    for rank in ranks:
        for key, piece in rank.items():
            pieces[key].append(piece)
    return {key: _joined(each) for key, each in pieces.items()}


def _joined(pieces: list[Piece]) -> Array:
    first, place = pieces[0]
    if place.partial:
        summed: Array = np.sum([array.astype(np.float64) for array, _ in pieces], axis=0)
        return summed
    made = np.full(place.whole_shape(first.shape), np.nan if first.dtype.kind == "f" else -7, first.dtype)
    for array, place in pieces:
        index: list[Any] = [slice(None)] * array.ndim
        for shard in place.shards:
            index[shard.dimension] = np.concatenate([np.arange(*edges) for edges in shard.ranges])
        if place.is_whole and array is not first:
            np.testing.assert_array_equal(array, first)
        made[tuple(index)] = array
    return made


def _unlike(made: Array, expected: Array) -> float:
    """How far apart two arrays are, against the largest of the second's numbers."""
    if made.shape != expected.shape or made.dtype.kind != "f":
        return 0.0 if np.array_equal(made, expected) else np.inf
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(made)):
        return np.inf
    return float(np.abs(made[finite] - expected[finite]).max(initial=0) / np.abs(expected[finite]).max(initial=1e-30))


FORMS: list[tuple[str, int, dict[str, int], float]] = [
    ("Llama", 2, {"tp_size": 2}, _ROUNDING),
    ("Qwen3", 4, {"tp_size": 4}, _ROUNDING),
    ("Qwen2", 2, {"tp_size": 2}, _ROUNDING),
    ("Phi3", 2, {"tp_size": 2}, _ROUNDING),
    ("Mixtral", 2, {"tp_size": 2}, _ROUNDING),
    ("Qwen2Moe", 4, {"tp_size": 4}, _ROUNDING),
    ("DeepseekV3", 2, {"tp_size": 2}, _ROUNDING),
    ("Llama", 2, {"fsdp_size": 2}, 0.0),
    ("DeepseekV3", 2, {"fsdp_size": 2}, 0.0),
    ("Llama", 4, {"tp_size": 2, "fsdp_size": 2}, _ROUNDING),
    ("Llama", 2, {"pp_size": 2}, 0.0),
    ("Mixtral", 2, {"pp_size": 2}, 0.0),
    ("Mixtral", 2, {"tp_size": 2, "ep_size": 2}, _ROUNDING),
    ("DeepseekV3", 2, {"tp_size": 2, "ep_size": 2}, _ROUNDING),
]


@pytest.mark.parametrize(("family", "count", "sizes", "rounding"), FORMS)
def test_the_parts_are_the_whole(family: str, count: int, sizes: dict[str, int], rounding: float) -> None:
    expected = _expected(family)
    ranks = on_ranks(count, _on_rank, family, sizes)
    made = _together([pieces for pieces, _, _ in ranks])
    assert made.keys() == expected.keys()
    assert {key: apart for key in made if (apart := _unlike(made[key], expected[key])) > rounding} == {}
    for rank, (_, parallel, _) in enumerate(ranks):
        assert parallel is not None
        assert (parallel.world, parallel.rank) == (count, rank)
        axes = {name.removesuffix("_size"): size for name, size in sizes.items()}
        assert parallel.mesh == axes
        assert parallel.coordinates.keys() == axes.keys()


def test_a_part_says_that_its_statistics_are_of_the_part() -> None:
    ranks = on_ranks(2, _on_rank, "Llama", {"tp_size": 2})
    part = "of a tensor that lies on several ranks there is this rank's part alone, and its statistics are of it"
    assert [notes for _, _, notes in ranks] == [(f"this is rank {rank} of 2: {part}",) for rank in range(2)]


def _all_to_all(rank: int) -> Any:
    pieces, _, notes = _recorded(spread(whole("Mixtral"), fsdp_size=2, ep_size=2))
    return {key: array for key, (array, _) in pieces.items() if key.startswith("model.layers.0.mlp")}, notes


def test_a_choice_is_this_rank_s_own_where_tokens_of_all_ranks_are_mixed() -> None:
    for pieces, notes in on_ranks(2, _all_to_all):
        for role in ("experts", "routing_weights", "router_logits", "router_scores"):
            np.testing.assert_array_equal(
                pieces[f"model.layers.0.mlp:{role}"], _expected("Mixtral")[f"model.layers.0.mlp:{role}"]
            )
        assert any("tokens that all ranks sent them" in note for note in notes)


class _Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(8, 12)
        self.act = nn.GELU()
        self.down = nn.Linear(12, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.down(self.act(self.up(x))))


def _own_plan(rank: int, model: nn.Module, local: bool) -> Any:
    plan = {"up": ColwiseParallel(use_local_output=local), "down": RowwiseParallel(use_local_output=local)}
    with torch.no_grad():
        return _recorded(parallelize_module(model, init_device_mesh("cpu", (2,)), plan), torch.ones(1, 3, 8))


@pytest.mark.parametrize("local", [True, False])
def test_a_plan_of_torch_s_own_is_told_too(local: bool) -> None:
    """Its outputs are DTensors, or what a collective will have made."""
    torch.manual_seed(0)
    model = _Mlp()
    expected = {key: array for key, (array, _) in _recorded(model, torch.ones(1, 3, 8))[0].items()}
    made = _together([pieces for pieces, _, _ in on_ranks(2, _own_plan, model, local)])
    assert {key: apart for key in made if (apart := _unlike(made[key], expected[key])) > _ROUNDING} == {}
    assert expected.keys() <= made.keys()


def _copies(rank: int) -> Any:
    return _recorded(nn.parallel.DistributedDataParallel(whole("Llama")))


def test_a_wrapper_is_no_part_of_a_site() -> None:
    for pieces, parallel, _ in on_ranks(2, _copies):
        assert {key: array for key, (array, _) in pieces.items()}.keys() == _expected("Llama").keys()
        assert all(_unlike(array, _expected("Llama")[key]) == 0 for key, (array, _) in pieces.items())
        assert parallel.mesh == {"dp": 2}


def _with_nan(rank: int, sizes: dict[str, int]) -> Any:
    model = spoilt(whole("Llama"), "model.layers.0.self_attn.q_proj.weight", (19, 3))
    trace = tracetui.trace(spread(model, **sizes), IDS).recorded
    return {site: list(weights) for site, weights in trace.bad_weights.items()}, trace.run.notes


def test_a_nan_in_a_weight_is_named_by_the_rank_that_has_it_and_its_place_in_the_whole() -> None:
    site = "model.layers.0.self_attn.q_proj"
    (first, _), (second, notes) = on_ranks(2, _with_nan, {"tp_size": 2})
    assert site not in first
    assert [(bad.name, bad.count, bad.first) for bad in second[site]] == [(f"{site}.weight", 1, (19, 3))]
    assert any(f"{site}.weight: 1 of 1,024 are NaN or infinite, the first at [19, 3]" in note for note in notes)
    # What is summed over all ranks tells nothing of the part that lies here.
    assert "model.layers.0.self_attn.o_proj" not in second


def _fully_sharded(rank: int) -> Any:
    model = spoilt(whole("Llama"), "model.layers.1.mlp.up_proj.weight", (23, 3))
    for layer in model.model.layers:  # type: ignore[union-attr]
        fully_shard(layer)
    fully_shard(model)
    trace = tracetui.trace(model, IDS).recorded
    return {site: [bad.first for bad in weights] for site, weights in trace.bad_weights.items()}


def test_weights_that_are_put_together_for_each_call_are_not_called_sound_by_their_part() -> None:
    first, second = on_ranks(2, _fully_sharded)
    assert "model.layers.1.mlp.up_proj" not in first
    assert second["model.layers.1.mlp.up_proj"] == [(23, 3)]
