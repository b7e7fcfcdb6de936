"""`make device` itself: what a person with a GPU runs once must not fail for a mistake of its own."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from tests.benchmarks.results import Results
from tests.device import figures
from tests.device.__main__ import main
from tests.device.models import EIGHT_B, ONE_B, TINY, sizes_for
from tests.device.stand_in import StandIn


def test_without_a_gpu_nothing_is_tried_and_that_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    with patch("torch.cuda.is_available", lambda: False):
        assert main([]) == 1
    assert "no GPU: nothing was tried" in capsys.readouterr().err


def test_every_part_runs_and_holds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def full(*shape: int) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 32.00 TiB. GPU 0 has 1 GiB")

    once, taken = partial(figures._interleaved, rounds=1), "tests.device.figures"
    with (
        StandIn(free=2**26).there(),
        patch("torch.Tensor.new_empty", lambda tensor, size: full(), create=True),
        patch(f"{taken}._interleaved", lambda ways, rounds: once(ways)),
        patch(f"{taken}.gc.collect", lambda: 0),
        patch(f"{taken}._NEW", 3),
    ):
        assert main(["--json", str(tmp_path / "rows.json")]) == 0, capsys.readouterr()
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert {row["benchmark"] for row in rows} == {"device"}
    assert sum(row["unit"] == "wrong" for row in rows) >= 8
    assert any("waits for the GPU" in row["label"] for row in rows)


def test_a_part_that_fails_is_told_and_the_others_run(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(results: Results, size: object, device: object) -> None:
        raise ValueError("a part's own mistake")

    with (
        StandIn(free=2**26).there(),
        patch("tests.device.__main__.CHECKS", (fails,)),
        patch("tests.device.__main__.FIGURES", (lambda results, size, device: results.add("later", [1.0]),)),
    ):
        assert main([]) == 1
    told = capsys.readouterr()
    assert "a part's own mistake" in told.err
    assert "later" in told.out


def test_models_are_as_large_as_the_gpu_allows() -> None:
    assert [sizes_for(free * 2**30) for free in (1, 16, 140)] == [(TINY,), (ONE_B,), (ONE_B, EIGHT_B)]
