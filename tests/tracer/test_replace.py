"""Tensors of another trace put in the place of a run's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tracer.recipes import recipe
from tests.tracer.test_edits import config_file
from tests.tracer.test_families import IDS
from tracetui.debugger.session import Event, Tallied
from tracetui.expr.edit import EditTally
from tracetui.expr.edit_parse import parse_edits
from tracetui.recipe import Generation, Prompts, load_recipe
from tracetui.recipe.recorded.edits import edits_of
from tracetui.recording.keep import parse_keep
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe

ROW, OTHER = (5, 8, 299, 3), (9, 8, 61, 2)


def run(ids: Sequence[int], *edits: str, tallies: list[EditTally] | None = None, **fields: Any) -> Trace:
    def hear(event: Event) -> None:
        if tallies is not None and isinstance(event, Tallied):
            tallies.extend(event.edits)

    return trace_recipe(recipe(prompts=Prompts(ids=(tuple(ids),)), edits=parse_edits(edits, ""), **fields), emit=hear)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "the other.npz"
    write_trace(run(OTHER), path)
    return path


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_residual_of_another_run_makes_of_what_follows_that_run(dtype: str, tmp_path: Path) -> None:
    write_trace(run(OTHER, dtype=dtype), tmp_path / "o.npz")
    patched, theirs = run(ROW, f"layers.1: replace @{tmp_path}/o.npz", dtype=dtype), run(OTHER, dtype=dtype)
    record = patched.find("model.layers.1")
    assert record is not None
    for key in ("model.layers.1", "model.layers.2.self_attn:k", "model.layers.2", "logits"):
        np.testing.assert_array_equal(patched[key], theirs[key])
    assert not np.array_equal(patched["model.layers.1:before_edit"], theirs["model.layers.1"])
    assert record.edited


def test_a_part_a_head_and_another_site(other: Path) -> None:
    theirs, plain = run(OTHER), run(ROW)
    sliced = run(ROW, f'layers.1[:,-1]: replace @"{other}"')
    expected = plain["model.layers.1"].copy()
    expected[:, -1] = theirs["model.layers.1"][:, -1]
    np.testing.assert_array_equal(sliced["model.layers.1"], expected)
    heads = run(ROW, f'layers.1.self_attn head 2: replace @"{other}" layers.0.self_attn')[
        "model.layers.1.self_attn:heads"
    ]
    expected = plain["model.layers.1.self_attn:heads"].copy()
    expected[:, 2] = theirs["model.layers.0.self_attn:heads"][:, 2]
    np.testing.assert_array_equal(heads, expected)
    own = run(ROW, f'layers.1.self_attn:q head 3[:,:,1]: replace @"{other}"')["model.layers.1.self_attn:q"]
    np.testing.assert_array_equal(own[:, 3, 1], theirs["model.layers.1.self_attn:q"][:, 3, 1])
    np.testing.assert_array_equal(own[:, :3], plain["model.layers.1.self_attn:q"][:, :3])


def test_an_expert_of_another_run(tmp_path: Path) -> None:
    made = replace(
        load_recipe(str(config_file("mixtral", tmp_path))), dtype="float32", prompts=Prompts(ids=(tuple(IDS),))
    )
    plain = trace_recipe(made)
    expert = next(record for record in plain.records if record.site.partition(".experts.")[2].isdecimal())
    write_trace(trace_recipe(replace(made, seed=4)), tmp_path / "o.npz")
    block, _, number = expert.site.partition(".experts.")
    took = f"{block} expert {number}: replace @{tmp_path}/o.npz"
    theirs = read_trace(tmp_path / "o.npz")
    patched = trace_recipe(replace(made, edits=parse_edits([took], "")))
    if expert.site in theirs and theirs[expert.site].shape == expert.shape:
        np.testing.assert_array_equal(patched[expert.site], theirs[expert.site])
    itself = tmp_path / "self.npz"
    write_trace(plain, itself)
    same = trace_recipe(replace(made, edits=parse_edits([f"{block} expert {number}: replace @{itself}"], "")))
    np.testing.assert_array_equal(same["logits"], plain["logits"])
    assert any(record.edited for record in same.records)


def test_each_pass_takes_its_own_and_a_site_may_name_one(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"generation": Generation(3, stop=())}
    write_trace(run(OTHER, **fields), tmp_path / "o.npz")
    theirs = read_trace(tmp_path / "o.npz")
    every = run(ROW, f"layers.1: replace @{tmp_path}/o.npz", **fields)
    for at in ("", "@1", "@2"):
        np.testing.assert_array_equal(every[f"model.layers.1{at}"], theirs[f"model.layers.1{at}"])
    one = run(ROW, f"layers.1 pass 2: replace @{tmp_path}/o.npz layers.0@1", **fields)
    np.testing.assert_array_equal(one["model.layers.1@2"], theirs["model.layers.0@1"])
    assert [record.key for record in one.records if record.edited] == ["model.layers.1@2"]


def test_what_does_not_fit_is_told_and_changes_nothing(tmp_path: Path, other: Path) -> None:
    write_trace(run((1, 2, 3)), tmp_path / "short.npz")
    write_trace(run(OTHER, dtype="bfloat16"), tmp_path / "narrow.npz")
    write_trace(run(OTHER, keep=parse_keep(["logits"], "")), tmp_path / "stats.npz")
    found: list[EditTally] = []
    trace = run(
        ROW,
        f"layers.1: replace @{tmp_path}/short.npz",
        f"layers.1: replace @{tmp_path}/narrow.npz",
        f"layers.1: replace @{tmp_path}/stats.npz",
        f"layers.1[:,3]: replace @{tmp_path}/short.npz",
        f'layers.1.mlp.up_proj: replace @"{other}" layers.1.mlp',
        f"layers.1: replace @{tmp_path}/gone.npz",
        tallies=found,
    )
    assert [tally.applied for tally in found] == [0] * 6
    for tally, why in zip(
        found,
        ("[1, 3, 32]", "as bfloat16", "only its statistics", "without such a place", "[1, 4, 48]", "gone.npz"),
        strict=True,
    ):
        assert why in tally.untold
    np.testing.assert_array_equal(trace["logits"], run(ROW)["logits"])


def test_the_run_names_the_file_and_is_repeated(tmp_path: Path, other: Path) -> None:
    edit = f'layers.1: replace @"{other}"'
    trace = run(ROW, edit)
    assert trace.run.recipe["edits"] == [edit]
    write_trace(trace, tmp_path / "patched.npz")
    again = run(ROW, *[each.text for each in edits_of(read_trace(tmp_path / "patched.npz"), "")])
    np.testing.assert_array_equal(again["logits"], trace["logits"])


def test_a_missing_file_is_bad_input_before_torch_is_there(tmp_path: Path) -> None:
    said = ["trace", "llama-tiny", "-p", "x", "--edit", f"layers.1: replace @{tmp_path}/none.npz"]
    code = f"""
import sys
sys.argv = ["tracetui", *{said!r}]
from tracetui.cli import main
status = main()
print(status, "torch" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["2", "False"]
    assert "none.npz" in ran.stderr


def test_one_element_of_a_dump_in_another_byte_order(tmp_path: Path) -> None:
    np.savez(tmp_path / "be.npz", **{"model.layers.1.mlp": np.full((1, len(ROW), 32), 7, ">f4")})  # type: ignore[arg-type]
    trace = run(ROW, f"layers.1.mlp[0,1,2]: replace @{tmp_path}/be.npz")
    assert trace["model.layers.1.mlp"][0, 1, 2] == 7
    assert np.count_nonzero(trace["model.layers.1.mlp"] == 7) == 1
