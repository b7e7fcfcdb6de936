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
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.parallel import Parallel
from tracetui.recording.ranks.files import gathered_from, rank_paths
from tracetui.recording.ranks.merge import merged_trace
from tracetui.recording.ranks.replicas import ComparedReplicas
from tracetui.recording.trace import Trace


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
