"""What the ranks of a real program recorded, merged, is what one process records: `tracetui diff` says the same."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

import tracetui
from tests.distributed.models import IDS, whole
from tests.distributed.ranks import on_ranks, spread
from tests.recording.made import assert_same_value
from tracetui.analysis.diff.compare import compare
from tracetui.analysis.health.diagnosis import diagnose, first_unsound
from tracetui.models.ranks.local import local_tensor
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.parallel import Parallel
from tracetui.recording.ranks.files import gathered_from, rank_paths
from tracetui.recording.ranks.folder import open_run
from tracetui.recording.ranks.merge import merged_trace
from tracetui.recording.ranks.replicas import ComparedReplicas
from tracetui.recording.trace import Trace
from tracetui.views.health.lines import health_lines


def _write(rank: int, family: str, sizes: dict[str, int], folder: Path) -> None:
    write_trace(tracetui.trace(spread(whole(family), **sizes), IDS).recorded, folder / f"rank{rank}.npz")


@cache
def _expected(family: str) -> Trace:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return tracetui.trace(whole(family), IDS).recorded
    finally:
        torch.set_num_threads(threads)


FORMS: list[tuple[str, int, dict[str, int], bool]] = [
    ("Llama", 4, {"tp_size": 2, "fsdp_size": 2}, True),
    ("Mixtral", 2, {"pp_size": 2}, False),
    ("DeepseekV3", 2, {"tp_size": 2, "ep_size": 2}, True),
]
"""Of each the family, the ranks, the mesh, and whether sums over ranks round otherwise than one process' sums."""


@pytest.mark.parametrize(("family", "count", "sizes", "rounding"), FORMS)
def test_merged_ranks_are_the_one_process_trace(
    family: str, count: int, sizes: dict[str, int], rounding: bool, tmp_path: Path
) -> None:
    (tmp_path / "ranks").mkdir()
    expected = _expected(family)  # before the fork: what it imports is there on each rank
    on_ranks(count, _write, family, sizes, tmp_path / "ranks")
    both = merged_trace(gathered_from(rank_paths([tmp_path / "ranks"])), ComparedReplicas())
    assert both.misfits == ()
    assert both.unknowable == ()
    write_trace(both.trace, tmp_path / "run.npz")
    merged = read_trace(tmp_path / "run.npz")
    assert dict(merged.unlike_replicas) == {}
    axes = {name.removesuffix("_size"): size for name, size in sizes.items()}
    assert (merged.run.notes, merged.run.parallel) == (expected.run.notes, Parallel(count, None, axes))
    assert [record.key for record in merged.records] == [record.key for record in expected.records]
    assert compare(merged, expected).same
    if not rounding:
        for record in expected.records:
            assert_same_value(merged.value(merged.records[record.index]), expected.value(record))


def test_what_experts_made_of_all_ranks_tokens_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "ranks").mkdir()
    expected = _expected("Mixtral")
    on_ranks(2, _write, "Mixtral", {"fsdp_size": 2, "ep_size": 2}, tmp_path / "ranks")
    both = merged_trace(gathered_from(rank_paths([tmp_path / "ranks"])), ComparedReplicas())
    assert both.misfits == ()
    assert "left out is what experts made of the tokens of all ranks together" in both.trace.run.notes
    keys = [record.key for record in both.trace.records]
    assert keys == [record.key for record in expected.records if ".mlp.experts." not in record.key]
    assert compare(both.trace, expected).same


def _write_wrong(rank: int, folder: Path) -> None:
    """One bit of a norm's weight is another on rank 3; then rank 1 has a NaN among its rows of q_proj."""
    model = spread(whole("Llama"), tp_size=4)
    layer = model.model.layers[1]
    norm, query = (local_tensor(weight) for weight in (layer.input_layernorm.weight, layer.self_attn.q_proj.weight))
    with torch.no_grad():
        if rank == 3:
            norm[7] = torch.nextafter(norm[7], torch.tensor(2.0))
        write_trace(tracetui.trace(model, IDS).recorded, folder / "bit" / f"rank{rank}.npz")
        if rank == 3:
            norm[7] = torch.nextafter(norm[7], torch.tensor(0.0))
        if rank == 1:
            query[3, 5] = torch.nan
        write_trace(tracetui.trace(model, IDS).recorded, folder / "nan" / f"rank{rank}.npz")


def test_what_is_wrong_on_one_rank_alone_is_named(tmp_path: Path) -> None:
    _expected("Llama")
    for name in ("bit", "nan"):
        (tmp_path / name).mkdir()
    on_ranks(4, _write_wrong, tmp_path)
    merged = merged_trace(gathered_from(rank_paths([tmp_path / "bit"])), ComparedReplicas()).trace
    write_trace(merged, tmp_path / "bit.npz")
    ((site, unlike),) = read_trace(tmp_path / "bit.npz").unlike_replicas.items()
    assert (site, unlike.groups) == ("model.layers.1.input_layernorm", ((0, 1, 2), (3,)))
    assert compare(read_trace(tmp_path / "bit.npz"), _expected("Llama")).same
    run = open_run(tmp_path / "nan")
    bad = first_unsound(run)
    assert bad is not None
    assert bad.site == "model.layers.1.self_attn.q_proj"
    lines = [line.text for line in health_lines(run, diagnose(run, bad), 100)]
    assert "rank 1 of 4 has it: in channel 3 of its 8 (11 of 32)" in lines
