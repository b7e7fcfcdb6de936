"""Edits on several ranks: their places are those of the whole tensor, whichever rank has it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import tracetui
from tests.distributed.models import IDS, whole
from tests.distributed.ranks import on_ranks, spread
from tracetui.analysis.diff.compare import compare
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.ranks.files import gathered_from, rank_paths
from tracetui.recording.ranks.merge import merged_trace
from tracetui.recording.ranks.replicas import ComparedReplicas
from tracetui.recording.trace import Trace

EDITS = (
    "layers.0.self_attn.q_proj [0, 3, 19]: set 2",
    "layers.0.mlp.act_fn [0, :, 5:20:3]: scale 0.5",
    "layers.0.self_attn head 5: zero",
    "layers.0.mlp.down_proj [0, -1]: scale -1",
    "layers.1.mlp.gate_proj [0, 2:7]: noise 0.1 seed 3",
    "layers.1.self_attn.k_proj [0, 2]: clamp -0.1 0.1",
    "layers.1.self_attn head 6: zero",
)


def _write(rank: int, family: str, edits: Sequence[str], folder: Path) -> None:
    trace = tracetui.trace(spread(whole(family), tp_size=2), IDS, edits=edits).recorded
    write_trace(trace, folder / f"rank{rank}.npz")


def _merged(folder: Path) -> Trace:
    merged = merged_trace(gathered_from(rank_paths([folder])), ComparedReplicas())
    assert merged.misfits == ()
    write_trace(merged.trace, folder.parent / "run.npz")
    return read_trace(folder.parent / "run.npz")


@pytest.mark.parametrize(("family", "more"), [("Llama", ()), ("Mixtral", ("layers.0.mlp expert 1: scale 3",))])
def test_a_place_is_one_of_the_whole(family: str, more: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "ranks").mkdir()
    plain = tracetui.trace(whole(family), IDS).recorded
    write_trace(plain, tmp_path / "plain.npz")
    known = {record.module.partition("layers.")[2] for record in plain.records}
    edits = [edit for edit in EDITS if edit.partition("layers.")[2].split(":")[0].split(" ")[0] in known]
    edits += [f"layers.1.self_attn.v_proj [0, 1:8:2, 3:14]: replace @{tmp_path / 'plain.npz'}", *more]
    expected = tracetui.trace(whole(family), IDS, edits=edits).recorded
    on_ranks(2, _write, family, edits, tmp_path / "ranks")
    merged = _merged(tmp_path / "ranks")
    assert [record.key for record in merged.records] == [record.key for record in expected.records]
    assert [record.edited for record in merged.records] == [record.edited for record in expected.records]
    assert sum(record.edited for record in expected.records) >= len(edits)
    assert compare(merged, expected).same
    assert not compare(merged, plain).same


def _told(rank: int, edit: str) -> None:
    with pytest.warns(UserWarning, match="lies as partial sums on the ranks, of which only zero and scale are known"):
        tracetui.trace(spread(whole("Mixtral"), tp_size=2), IDS, edits=edit)


def test_of_a_partial_sum_only_what_is_the_sum_s_too_is_done() -> None:
    on_ranks(2, _told, "layers.0.mlp expert 1: set 3")


def _hits(rank: int, stop: str) -> int:
    return len(tracetui.trace(spread(whole("Llama"), tp_size=2), IDS, stops=stop).hits)


def test_a_stop_asks_for_a_place_of_the_whole() -> None:
    site = "model.layers.0.self_attn.q_proj"
    element = float(tracetui.trace(whole("Llama"), IDS)[site][0, 3, 19])
    assert on_ranks(2, _hits, f"{site} if value[0,3,19] > {element - 1e-4:.6f}") == [0, 1]
    assert on_ranks(2, _hits, f"{site} if value[0,3,18:20].max >= {element - 1e-4:.6f}") == [0, 1]
