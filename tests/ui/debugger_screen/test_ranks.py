"""A folder of ranks' files on the screen: all together, one rank's own, what differs, and whose column has the NaN."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import tracetui
from tests.recording.ranks.made import changed, one_ulp, sites, tp_traces, trace_of, written
from tests.ui.recording import opened
from tracetui.analysis.health.diagnosis import diagnose
from tracetui.errors import InputError
from tracetui.recording.npz import write_trace
from tracetui.recording.ranks.folder import open_run
from tracetui.recording.value import Array
from tracetui.ui.debugger_screen.ranks import chosen
from tracetui.views.health.lines import health_lines
from tracetui.views.health.ranks import rank_lines

Q_PROJ = "model.layers.1.self_attn.q_proj"


def _nan(array: Array) -> Array:
    array[0, 2, 3] = np.nan
    return array


def _folder(path: Path) -> Path:
    path.mkdir()
    ranks = tp_traces(4)
    ranks[1] = changed(ranks[1], Q_PROJ, _nan)
    ranks[3] = changed(ranks[3], "model.layers.0.input_layernorm", one_ulp)
    written(ranks, path)
    return path


async def test_each_rank_and_all_together(tmp_path: Path) -> None:
    async with opened(_folder(tmp_path / "run.trace"), (160, 50)) as tui:
        norm, query = (tui.state.trace.find(key) for key in ("model.layers.0.input_layernorm", Q_PROJ))
        assert norm is not None
        assert query is not None
        tui.screen.parts.steps.to(norm.index)
        await tui.settle()
        assert "4 ranks together" in tui.text()
        assert "≠ rank 3 differs" in tui.text()
        assert re.search(r"≠ +0\.input_layernorm", tui.text())
        assert re.search(r"≠ +input_layernorm", tui.text())
        tui.screen.parts.steps.to(query.index)
        await tui.press("F", "1", "enter")
        assert tui.state.record.key == Q_PROJ
        assert "[B=1, T=5, H·K=4 of 16 · rank 1 of" in tui.text()
        assert "head 1, 0 of 0" in tui.text()


def test_whose_column_has_the_nan(tmp_path: Path) -> None:
    trace = open_run(_folder(tmp_path / "run.trace"))
    for rank in (None, 1):
        view = trace.by_rank[rank]
        record = view.find(Q_PROJ)
        assert record is not None
        lines = [line.text for line in health_lines(view, diagnose(view, record), 80)]
        assert "rank 1 of 4 has it: in channel 3 of its 4 (7 of 16)" in lines
    norm = trace.find("model.layers.0.input_layernorm")
    assert norm is not None
    assert list(rank_lines(trace, norm, None)) == ["replicas differ here: ranks 0–2 agree, rank 3 differs"]


def test_ranks_are_named_by_their_numbers(tmp_path: Path) -> None:
    trace = open_run(_folder(tmp_path / "run.trace"))
    assert [chosen(trace, typed) for typed in ("", " all ", "0", "3")] == [None, None, 0, 3]
    assert trace.by_rank[3].by_rank[None] is trace
    for typed in ("4", "-1", "one", "²"):
        with pytest.raises(InputError, match="there are 0, 1, 2, 3"):
            chosen(trace, typed)


def test_a_folder_is_read_as_its_merged_trace(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "run.trace")
    np.testing.assert_array_equal(tracetui.open_trace(folder)["model.norm"], sites()["model.norm"])
    (folder / "rank00002.npz").unlink()
    with pytest.raises(InputError, match="the ranks' files don't make a whole: the file of rank 2 is missing; "):
        open_run(folder)
    with pytest.raises(InputError, match="is a folder and no recording"):
        open_run(tmp_path)


async def test_a_file_of_one_view_says_so(tmp_path: Path) -> None:
    write_trace(trace_of({"model.norm": sites()["model.norm"]}), tmp_path / "t.npz")
    async with opened(tmp_path / "t.npz") as tui:
        await tui.press("F")
        assert "one process ran this" in tui.text()
