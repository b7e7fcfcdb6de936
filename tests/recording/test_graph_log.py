"""llama.cpp's eval-callback log: read strictly, and compared as far as it goes."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.analysis.diff import plants
from tests.analysis.diff.llama_cpp_graph import Tensor, graph
from tracetui.analysis.diff.report import Report, report
from tracetui.errors import InputError
from tracetui.recording.dumps import open_recorded
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.tracer.call import record_module
from tracetui.views.diff.report import diff_lines

NAMES = {"float32": "f32", "float16": "f16", "int32": "i32"}


@pytest.fixture(scope="module")
def trace() -> Trace:
    ids = torch.randperm(60, generator=torch.Generator().manual_seed(7))[: plants.TOKENS] + 1
    return record_module(plants.llama(), (), {"input_ids": ids[None], "use_cache": False}, matrices=("scores", "probs"))


def printed(name: str, array: Array, mark: str = "common_debug_cb_eval") -> str:
    """One tensor as common_debug_print_tensor of llama.cpp's common/debug.cpp prints it."""
    whole = array.reshape((1,) * (4 - array.ndim) + array.shape)
    axes = "{" + ", ".join(map(str, whole.shape[::-1])) + "}"
    lines = [f"{mark}: {name:>24} = ({NAMES[array.dtype.name]})   {'MUL_MAT':>10}(w{axes}, x{axes}}}) = {axes}"]
    for block in whole:
        lines.append("    [")
        for matrix in ends(block, lines, "        ..., "):
            lines.append("        [")
            for row in ends(matrix, lines, "            ..., "):
                values = [f"{value:12.4f}" for value in row]
                gap = ["   ..., "] if len(values) > 6 else []
                shown = [*values[:3], *gap, *values[-3:]] if gap else values
                lines.append("            [" + ", ".join(shown) + "  ],")
            lines.append("        ],")
        lines += ["    ]", f"    sum = {np.add.accumulate(whole.ravel().astype(np.float32))[-1]:f}"]
    return "\n".join(lines) + "\n"


def ends(rows: Array, lines: list[str], gap: str) -> list[Array]:
    """The rows that are printed."""
    if len(rows) <= 6:
        return list(rows)
    lines.append(gap)
    return [*rows[:3], *rows[-3:]]


def compared(folder: Path, trace: Trace, tensors: list[Tensor], other_way: bool = False) -> Report:
    path = folder / "eval.log"
    path.write_text("llama_model_loader: loaded\n" + "".join(printed(name, array) for name, array in tensors))
    log = open_recorded(path)
    return report(trace, log) if other_way else report(log, trace)


def changed(trace: Trace, name: str, index: tuple[int, ...], by: float) -> list[Tensor]:
    tensors = []
    for each, array in graph(trace):
        if each == name:
            array = array.copy()
            array[index] += by
        tensors.append((each, array))
    return tensors


def test_a_log_holds_the_ends_of_each_axis_and_the_sum(tmp_path: Path) -> None:
    array = np.arange(2 * 9 * 8, dtype=np.float32).reshape(2, 9, 8) / 4
    (tmp_path / "l.txt").write_text(printed("Qcur-0", array) + "build: 1\n" + printed("Qcur-0", array[0], "ggml_debug"))
    log = open_recorded(tmp_path / "l.txt")
    assert [record.site for record in log.records] == ["Qcur-0", "Qcur-0#1"]
    assert [record.shape for record in log.records] == [(2, 9, 8), (9, 8)]
    values = log.values[0].read()
    there = np.ix_(range(2), (0, 1, 2, 6, 7, 8), (0, 1, 2, 5, 6, 7))
    assert np.array_equal(values[there], array[there])
    assert np.isnan(values).sum() == array.size - 2 * 6 * 6


@pytest.mark.parametrize(("flash", "last"), list(product([False, True], [False, True])))
def test_a_right_log_is_the_same_as_far_as_it_goes(tmp_path: Path, trace: Trace, flash: bool, last: bool) -> None:
    tensors = graph(trace, flash, last)
    for other_way in (False, True):
        made = compared(tmp_path, trace, tensors, other_way)
        assert made.comparison.same, made.first
        assert made.comparison.compared == len(report(open_recorded(tmp_path / "eval.log"), trace).comparison.sites)
        assert not made.proposals
        (words,) = made.positions
        assert words.startswith("B is a log" if other_way else "A is a log")
    if not flash:
        assert any(site.site.endswith(":scores") for site in made.comparison.sites)
    assert any(site.site == "model.layers.1" for site in made.comparison.sites)


def test_a_fault_among_what_is_printed_is_told_at_its_place(tmp_path: Path, trace: Trace) -> None:
    made = compared(tmp_path, trace, changed(trace, "ffn_up-1", (10, 2), 0.01))
    assert made.first is not None
    assert made.first.site == "model.layers.1.mlp.up_proj"
    assert made.first.distance is not None
    assert made.first.distance.worst == (10, 2)
    assert made.at_fault


def test_a_fault_between_the_ends_shows_in_the_sum(tmp_path: Path, trace: Trace) -> None:
    made = compared(tmp_path, trace, changed(trace, "l_out-0", (5, 12), 3.0))
    assert made.first is not None
    assert made.first.site == "model.layers.0"
    told = " ".join(" ".join(diff_lines(made, ("a", "b"))).split())
    assert "its sum is" in told
    assert "not among the values printed" in told


@pytest.mark.parametrize("by", [1e-5, 4e-5])
def test_what_the_digits_do_not_tell_is_no_difference(tmp_path: Path, trace: Trace, by: float) -> None:
    assert compared(tmp_path, trace, changed(trace, "l_out-0", (0, 0), by)).comparison.same


def test_a_second_run_of_the_graph_is_left_out(tmp_path: Path, trace: Trace) -> None:
    made = compared(tmp_path, trace, [*graph(trace), ("embd", np.ones((1, 32), np.float32))])
    assert made.comparison.same


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("0.2500", "0.25x0", r"line 1: l_out-0: the tensor needs 12 values and a sum; .*got '8'"),
        ("    sum", "    som", "line 1: l_out-0: the tensor needs 12 values and a sum"),
        ("(f32)", "f32", "is a log of llama.cpp's that has no values"),
        ("(f32)", "(q4_1)", "is a log of llama.cpp's that has no values"),
        ("{4, 3, 1, 1}\n", "{4, 3000000, 1, 1}\n", "line 1: l_out-0: the tensor needs 24 values"),
        ("{4, 3, 1, 1}\n", "{4, 3000000000, 1, 1}\n", "line 1: l_out-0: tensors of at most 268,435,456 elements are"),
        ("{4, 3, 1, 1}\n", "{4, , 3}\n", "line 1: l_out-0: must have one to four axes, got '?4, , 3"),
        ("{4, 3, 1, 1}\n", "{4" + "0" * 5000 + "}\n", "line 1: l_out-0: must have one to four axes"),
    ],
)
def test_a_log_that_was_cut_off_or_changed_is_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = printed("l_out-0", np.arange(12, dtype=np.float32).reshape(3, 4) / 4)
    assert old in text
    (tmp_path / "bad.log").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=rf"bad\.log: {problem}"):
        open_recorded(tmp_path / "bad.log")
