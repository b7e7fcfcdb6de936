"""The recorder of docs/engines.md, literally, on two tensor-parallel ranks: merged by names, shapes and bits alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed._functional_collectives import all_reduce
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard

import tracetui
from tests.distributed.models import IDS, whole
from tests.distributed.ranks import on_ranks, spread
from tests.truth.families import FAMILIES
from tests.truth.families import IDS as TRUTH_IDS
from tests.truth.fault import damaged
from tests.truth.forward import dump as forward
from tests.truth.naming import vllm
from tracetui.errors import InputError
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.ranks.files import gathered_from, rank_paths
from tracetui.recording.ranks.merge import merged_trace
from tracetui.recording.ranks.replicas import ComparedReplicas
from tracetui.recording.trace import Trace

DOCUMENT = Path(__file__).parents[2] / "docs" / "engines.md"


def documented() -> dict[str, Any]:
    """What the document's only block of Python defines."""
    (snippet,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(compile(snippet, str(DOCUMENT), "exec"), names)
    return names


def _record(rank: int, folder: Path) -> tuple[list[float], list[float]]:
    """A right run and a wrong one; and what the recorder makes of tensors that are no plain ones."""
    known = documented()
    model = spread(whole("Llama"), tp_size=2)
    for name in ("right", "wrong"):
        recorder = known["Recorder"](model)
        with torch.no_grad():
            model(IDS, use_cache=False)
        recorder.save(folder / name / f"rank{rank}.npz")
        model.model.layers[1].self_attn.o_proj.register_forward_hook(lambda module, args, output: 1.5 * output)
    mesh = init_device_mesh("cpu", (2,))
    part = DTensor.from_local(torch.full((2,), float(rank)), mesh, [Shard(0)])
    under_way = all_reduce(torch.ones(2), "sum", mesh)
    return known["plain"](part).tolist(), known["plain"](under_way).tolist()


def _merged(folder: Path) -> Trace:
    merged = merged_trace(gathered_from(rank_paths([folder]), 2), ComparedReplicas())
    assert merged.misfits == ()
    assert dict(merged.trace.unlike_replicas) == {}
    write_trace(merged.trace, folder.parent / f"{folder.name}.npz")
    return read_trace(folder.parent / f"{folder.name}.npz")


def test_two_ranks_recorded_without_tracetui_are_the_whole(tmp_path: Path) -> None:
    for name in ("right", "wrong"):
        (tmp_path / name).mkdir()
    # Before the fork: what it imports is there on each rank.
    reference = tracetui.trace(whole("Llama"), IDS)
    assert on_ranks(2, _record, tmp_path) == [([0.0, 0.0], [2.0, 2.0]), ([1.0, 1.0], [2.0, 2.0])]
    engine = _merged(tmp_path / "right")
    assert engine.dump
    assert len(engine.pieces) == 12
    diff = tracetui.diff(engine, reference)
    assert diff.same, diff.explained
    assert {"model.layers.1.self_attn.q_proj", "model.layers.1.mlp.act_fn", "lm_head"} <= {s.site for s in diff.sites}
    wrong = tracetui.diff(_merged(tmp_path / "wrong"), reference)
    assert wrong.first is not None
    assert wrong.first.site == "model.layers.1.self_attn.o_proj"


class _Worker(torch.nn.Module):
    """Returns a tuple of which it writes into the first again, and has a layer that runs elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Identity()
        self.absent = PPMissingLayer()
        self.buffer = torch.zeros(3)

    def forward(self, step: int) -> tuple[torch.Tensor, torch.Tensor, None]:
        kept = self.absent(self.inner(self.buffer.fill_(step)))
        return kept, torch.tensor([step, 7]), None


class PPMissingLayer(torch.nn.Identity):
    """What vLLM puts in place of a layer that another stage runs."""


def test_buffers_repeats_integers_and_stand_ins(tmp_path: Path) -> None:
    outer = torch.nn.ModuleDict({"worker": _Worker(), "narrow": torch.nn.Identity()})
    recorder = documented()["Recorder"](outer)
    for step in (1, 2):
        outer["worker"](step)
    outer["narrow"](torch.tensor([1.5], dtype=torch.bfloat16))
    recorder.save(tmp_path / "rank0.npz")
    with np.load(tmp_path / "rank0.npz", allow_pickle=False) as file:
        kept: Mapping[str, Any] = dict(file)
    assert {name: (array.tolist(), array.dtype.name) for name, array in kept.items()} == {
        "worker.inner": ([1.0] * 3, "float32"),
        "worker.inner@1": ([2.0] * 3, "float32"),
        "worker": ([1.0] * 3, "float32"),
        "worker#1": ([1, 7], "int64"),
        "worker@1": ([2.0] * 3, "float32"),
        "worker#1@1": ([2, 7], "int64"),
        "narrow": ([1.5], "float32"),
    }
    passes = {(record.site, record.pass_) for record in tracetui.open_trace(tmp_path / "rank0.npz").recorded.records}
    assert ("worker#1", 1) in passes
    assert not any(hook for module in outer.modules() for hook in module._forward_hooks)


def _as_vllm(ranks: int, dump: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each worker of vLLM has of a decoder's modules: columns of fused matrices, and what is reduced whole."""
    config = {"self_attn.qkv_proj": 3, "mlp.gate_up_proj": 2}
    workers = []
    for rank in range(ranks):
        arrays = {}
        for name, array in vllm(dump).items():
            place = name.partition("#")[0].partition("layers.")[2].partition(".")[2]
            blocks = config.get(place, 1)
            if blocks > 1:
                widths = _widths(vllm(dump), name) if blocks == 3 else [array.shape[-1] // 2] * 2
                ends = np.cumsum(widths)[:-1]
                pieces = [np.split(block, ranks, axis=-1)[rank] for block in np.split(array, ends, axis=-1)]
                arrays[name] = np.concatenate(pieces, axis=-1)
            elif place in ("self_attn.attn", "self_attn.rotary_emb", "mlp.act_fn"):
                arrays[name] = np.split(array, ranks, axis=-1)[rank]
            else:
                arrays[name] = array
        workers.append(arrays)
    return workers


def _widths(arrays: Mapping[str, Any], name: str) -> list[int]:
    query, key = (arrays[name.replace("qkv_proj", f"rotary_emb{part}")].shape[-1] for part in ("", "#1"))
    return [query, key, key]


def test_two_workers_of_vllm_are_one_engine(tmp_path: Path) -> None:
    decoder, reference = FAMILIES["llama"]().decoder, FAMILIES["llama"]().reference
    for folder, of in (("right", decoder), ("wrong", damaged("self_attn.o_proj.weight", 1)(decoder))):
        (tmp_path / folder).mkdir()
        for rank, arrays in enumerate(_as_vllm(2, forward(of, TRUTH_IDS, "full"))):
            np.savez(tmp_path / folder / f"rank{rank}.npz", allow_pickle=False, **arrays)
    engine = _merged(tmp_path / "right")
    assert len(engine.pieces) == 6 * 3
    diff = tracetui.diff(engine, reference)
    assert diff.same, diff.explained
    assert len(diff.sites) >= 3 * 15
    wrong = tracetui.diff(_merged(tmp_path / "wrong"), reference).first
    assert wrong is not None
    assert wrong.site == "model.layers.1.self_attn.o_proj"


def test_key_value_heads_that_several_ranks_need_are_one(tmp_path: Path) -> None:
    """Four ranks with two key-value heads: pairs of them have the same."""
    rng = np.random.default_rng(2)
    queries, keys = (rng.standard_normal((5, width), np.float32) for width in (16, 8))
    for rank in range(4):
        arrays = {"a.q_proj": np.split(queries, 4, axis=1)[rank], "a.k_proj": np.split(keys, 2, axis=1)[rank // 2]}
        np.savez(tmp_path / f"rank{rank}.npz", allow_pickle=False, **arrays)
    merged = merged_trace(gathered_from(rank_paths([tmp_path]), 4), ComparedReplicas())
    assert merged.misfits == ()
    np.testing.assert_array_equal(merged.trace["a.q_proj"], queries)
    np.testing.assert_array_equal(merged.trace["a.k_proj"], keys)
    for rank in range(4):
        query, key = np.split(queries, 4, axis=1)[rank], np.split(keys, 2, axis=1)[rank // 2]
        fused = {"a.qkv_proj": np.concatenate([query, key, key], axis=1), "a.attn": query}
        np.savez(tmp_path / f"rank{rank}.npz", allow_pickle=False, **fused)
    with pytest.raises(InputError, match=r"a\.qkv_proj: ranks have copies of the same key-value heads"):
        gathered_from(rank_paths([tmp_path]), 4)


def test_experts_of_each_rank_are_added_up(tmp_path: Path) -> None:
    parts = np.random.default_rng(2).standard_normal((2, 5, 8), np.float32)
    for rank in range(2):
        np.savez(tmp_path / f"rank{rank}.npz", allow_pickle=False, **{"layers.0.mlp.experts": parts[rank]})
    merged = merged_trace(gathered_from(rank_paths([tmp_path]), 2), ComparedReplicas())
    np.testing.assert_allclose(merged.trace["layers.0.mlp.experts"], parts.sum(axis=0), rtol=1e-6)
