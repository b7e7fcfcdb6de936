"""Edits on the command line: refused before torch loads, told at the end, and repeated from a recording."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.running import Here
from tracetui.recording.npz import read_trace

TINY = ("trace", "llama-tiny", "--layers", "2", "--tokens", "1,2,3")


def test_a_wrong_edit_is_refused_at_once_with_a_caret(tracetui: Here) -> None:
    done = tracetui(*TINY, "--edit", "layers.1.mlp: zeero")
    assert done.status == 2
    message, expression, caret = done.err.splitlines()
    assert "--edit: at character 15: zeero is no action; did you mean zero?" in message
    assert caret.index("^") == expression.index("zeero")


def test_an_edit_is_told_and_one_that_changes_nothing_too(tracetui: Here) -> None:
    done = tracetui(
        *TINY,
        *("--edit", "layers.1.mlp: zero", "--edit", "layers.1 head 0: zero"),
        *("--edit", "layers.1.mlp expert 2: zero"),
    )
    assert done.status == 0
    assert "note: edited: layers.1.mlp: zero" in done.out
    assert "edit layers.1 head 0: zero changed nothing: nothing that can be edited has such a site" in done.err
    assert "edit layers.1.mlp:" not in done.err
    assert "no token went to expert 2 of such a block, or none has experts" in done.err


def test_a_recordings_edits_are_given_to_another_run(tracetui: Here, tmp_path: Path) -> None:
    one, other = str(tmp_path / "one.npz"), str(tmp_path / "other.npz")
    assert tracetui(*TINY, "--edit", "*.mlp: noise 1 seed 2", "-o", one).status == 0
    assert tracetui(*TINY, "--edit", f"@{one}", "-o", other).status == 0
    assert tracetui("diff", one, other).status == 0
    assert read_trace(Path(other)).run.recipe["edits"] == ["*.mlp: noise 1 seed 2"]
    assert tracetui(*TINY, "-o", other).status == 0
    assert tracetui("diff", one, other).status == 1


def test_json_has_what_came_of_the_edits(tracetui: Here) -> None:
    done = tracetui(*TINY, "--edit", "layers.1.mlp: zero", "--edit", "layers.1 head 0: zero", "--json")
    found = json.loads(done.out.splitlines()[-1])
    assert found["edits"] == [
        {"edit": "layers.1.mlp: zero", "changed": 1, "untold": ""},
        {"edit": "layers.1 head 0: zero", "changed": 0, "untold": ""},
    ]
    assert [record["site"] for record in found["records"] if record["edited"]] == ["model.layers.1.mlp"]
