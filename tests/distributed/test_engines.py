"""The recorder of docs/engines.md, literally, on two tensor-parallel ranks: merged by names, shapes and bits alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.distributed._functional_collectives import all_reduce
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard

import tracetui
from tests.distributed.models import IDS, whole
from tests.distributed.ranks import on_ranks, spread
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
