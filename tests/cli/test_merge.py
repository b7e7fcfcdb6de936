"""`tracetui merge`: one trace of many ranks' files; 1 where replicas differ, 2 where parts don't add up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import Here
from tests.recording.ranks.made import changed, columns, one_ulp, sites, tp_traces, trace_of, without_values, written
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.value import Array


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run.trace").mkdir()
    return tmp_path / "run.trace"


def test_ranks_become_one_trace(tracetui: Here, folder: Path) -> None:
    files = written(tp_traces(2), folder)
    output = folder.parent / "run.npz"
    said = tracetui("merge", *map(str, files), "-o", str(output))
    count, pieces = len(sites()), len(read_trace(output).pieces)
    assert said.status == 0
    assert said.out.endswith(f", {count} records of 2 ranks: {count - pieces} whole, {pieces} put together\n")
    write_trace(trace_of(sites()), folder.parent / "whole.npz")
    assert tracetui("diff", str(output), str(folder.parent / "whole.npz")).status == 0
    by_folder = tracetui("merge", str(folder), "-o", str(folder.parent / "again.npz"), "--replicas", "off")
    assert by_folder.status == 0
    assert (folder.parent / "again.npz").read_bytes() == output.read_bytes()


def test_a_replica_that_differs_by_one_bit_is_named(tracetui: Here, folder: Path) -> None:
    ranks = tp_traces(4)
    ranks[3] = changed(ranks[3], "model.layers.1.input_layernorm", one_ulp)
    written(ranks, folder)
    arguments = ("merge", str(folder), "-o", str(folder.parent / "run.npz"))
    said = tracetui(*arguments)
    assert said.status == 1
    line = said.out.splitlines()[1]
    assert line.startswith("replicas differ at model.layers.1.input_layernorm: ranks 0–2 agree, rank 3 is up to ")
    assert line.endswith(" off, in 1 element")
    assert tracetui(*arguments, "--replicas", "tolerance").status == 0
    assert tracetui(*arguments, "--replicas", "off").status == 0


def test_parts_that_dont_add_up_are_named_and_nothing_is_written(tracetui: Here, folder: Path) -> None:
    ranks = tp_traces(2)
    written([ranks[0], ranks[0]], folder)
    (folder / "rank00001.npz").write_bytes((folder / "rank00000.npz").read_bytes())
    complaint = tracetui.refused("merge", str(folder), "-o", str(folder.parent / "run.npz"))
    assert complaint == f"{folder}/rank00001.npz: is of rank 0, as {folder}/rank00000.npz is"
    (folder / "rank00001.npz").unlink()
    said = tracetui("merge", str(folder), "-o", str(folder.parent / "run.npz"))
    assert said.status == 2
    lines = said.out.splitlines()
    assert lines[0] == "nothing was written: the parts that the ranks have don't make a whole"
    assert lines[1] == "  the file of rank 1 is missing"
    assert any(line.startswith("  model.layers.0.self_attn.q_proj: of 16 along") for line in lines)
    assert not (folder.parent / "run.npz").exists()


def test_what_is_left_out_is_noted(tracetui: Here, folder: Path) -> None:
    written([without_values(trace) for trace in tp_traces(2)], folder)
    said = tracetui("merge", str(folder), "-o", str(folder.parent / "run.npz"))
    assert said.status == 0
    assert "note: left out are " in said.out
    assert " partial sums of which no values were kept, such as model.layers.0.mlp.experts." in said.out


def test_files_of_one_process_are_refused(tracetui: Here, folder: Path) -> None:
    write_trace(trace_of(sites()), folder / "t.npz")
    complaint = tracetui.refused("merge", str(folder / "t.npz"), "-o", str(folder / "run.npz"))
    assert complaint == f"{folder}/t.npz: doesn't say which rank of several recorded it; one process ran it"
    assert tracetui.refused("merge", str(folder.parent), "-o", str(folder / "r.npz")).endswith("rank1.npz, …)")
    written(tp_traces(2), folder)
    (folder / "t.npz").unlink()
    tracetui("merge", str(folder), "-o", str(folder.parent / "run.npz"))
    assert "is merged already" in tracetui.refused("merge", str(folder.parent / "run.npz"), "-o", str(folder / "r.npz"))


def _recorded(rank: int) -> dict[str, Array]:
    """As a recorder of one's own saves a tensor-parallel rank: names and arrays, and nothing of ranks."""
    whole = {f"model.layers.0.{name}": array for name, array in WHOLE.items()}
    packed = columns(whole["model.layers.0.self_attn.qkv_proj"][:, :16], 1, 2, rank)[0]
    kv = columns(whole["model.layers.0.self_attn.qkv_proj"][:, 16:], 1, 2, rank, blocks=2)[0]
    return whole | {
        "model.layers.0.self_attn.qkv_proj": np.concatenate([packed, kv], axis=1),
        "model.layers.0.self_attn.attn": columns(whole["model.layers.0.self_attn.attn"], 1, 2, rank)[0],
        "model.layers.0.mlp.gate_up_proj": columns(whole["model.layers.0.mlp.gate_up_proj"], 1, 2, rank, blocks=2)[0],
        "model.layers.0.mlp.act_fn": columns(whole["model.layers.0.mlp.act_fn"], 1, 2, rank, widths=(13, 11))[0],
    }


RNG = np.random.default_rng(1)
WHOLE = {
    "self_attn.qkv_proj": RNG.standard_normal((9, 32), np.float32),
    "self_attn.attn": RNG.standard_normal((9, 16), np.float32),
    "self_attn.o_proj": RNG.standard_normal((9, 16), np.float32),
    "mlp.gate_up_proj": RNG.standard_normal((9, 48), np.float32),
    "mlp.act_fn": RNG.standard_normal((9, 24), np.float32),
}


def _save(path: Path, arrays: dict[str, Array]) -> None:
    np.savez(path, allow_pickle=False, **arrays)


def test_files_that_say_nothing_of_ranks_are_read_by_names_shapes_and_bits(tracetui: Here, folder: Path) -> None:
    for rank in range(2):
        _save(folder / f"rank{rank}.npz", _recorded(rank))
    output = folder.parent / "run.npz"
    assert "`--tp N` reads files" in tracetui.refused("merge", str(folder), "-o", str(output))
    assert "needs the files of 3 ranks, got 2" in tracetui.refused("merge", str(folder), "-o", str(output), "--tp", "3")
    assert tracetui("merge", str(folder), "-o", str(output), "--tp", "2").status == 0
    with np.load(output) as file:
        for name, array in WHOLE.items():
            np.testing.assert_array_equal(file[f"model.layers.0.{name}"], array, err_msg=name)
    without = _recorded(1)
    del without["model.layers.0.self_attn.attn"]
    _save(folder / "rank1.npz", without)
    complaint = tracetui.refused("merge", str(folder), "-o", str(output), "--tp", "2")
    assert "self_attn.qkv_proj: how much of it is the query can't be told without" in complaint
