"""Stops on the command line: refused before torch loads, and the exit status tells whether one fired."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.running import Here


def test_a_wrong_stop_is_refused_at_once_with_a_caret(tracetui: Here) -> None:
    done = tracetui("trace", "llama-tiny", "--break", "*.mlp if nrom > 3")
    assert done.status == 2
    message, expression, caret = done.err.splitlines()
    assert "--break: at character 10: nrom is no name here; did you mean norm?" in message
    assert caret.index("^") == expression.index("nrom")


def test_what_the_model_lacks_is_refused_before_it_is_built(tracetui: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.headless.run_and_write", None)
    for option, text, told in (
        ("--break", "layers.1.mpl", "no module layers.1.mpl; layers.1.mlp is meant?"),
        ("--break", "layers.77", "no layers.77; layers has 0 to 5"),
        ("--keep", "layers.3.mlp", "layer 3 is not run: --layers leaves 0 to 1"),
        ("--edit", "layers.1.self_attn head 50: zero", "no head 50"),
        ("--edit", "layers.1.mlp pass 1: zero", "no pass 1: the run has 1 pass, 0; --generate 2"),
    ):
        done = tracetui("trace", "llama-tiny", "--layers", "2", option, text)
        assert done.status == 2
        assert f"tracetui: {option}: at character" in done.err
        assert told in done.err


def test_what_only_the_module_tree_tells_is_refused_before_it_runs(tracetui: Here) -> None:
    done = tracetui("trace", "llama-tiny", "--layers", "1", "--break", "layers.0.self_attn.mlp")
    assert done.status == 2
    assert "no module layers.0.self_attn.mlp; layers.0.self_attn has q_proj" in done.err


def test_a_stop_that_fires_makes_the_status_one_and_says_why(tracetui: Here) -> None:
    stops = (
        "--break",
        "layers.1.mlp if norm > 0",
        "--break",
        "layers.1:probs",
    )
    done = tracetui("trace", "llama-tiny", "--layers", "2", "--tokens", "1,2,3", *stops)
    assert done.status == 1
    line = r"stop layers\.1\.mlp if norm > 0: model\.layers\.1\.mlp \(step \d+\): norm = [\d.]+"
    assert re.search(line, done.out)
    assert "stop layers.1:probs never fired: no record has such a site; attention has one where" in done.err


def test_json_has_the_stops_and_a_run_without_a_hit_is_fine(tracetui: Here) -> None:
    done = tracetui("trace", "llama-tiny", "--layers", "1", "--tokens", "1,2", "--json", "--break", "embed_tokens")
    assert done.status == 1
    found = json.loads(done.out.splitlines()[-1])
    assert [stop["stop"] for stop in found["stops"]] == ["nan", "inf", "embed_tokens"]
    hits = [{"key": "model.embed_tokens", "step": 0, "values": {}}]
    assert found["stops"][2] == {"stop": "embed_tokens", "looked_at": 1, "untold": "", "hits": hits}
    assert found["stops"][0]["looked_at"] == len(found["records"])
    assert (found["made_nan"], found["near_limit"], done.err) == ([], [], "")
    assert tracetui("trace", "llama-tiny", "--layers", "1", "--tokens", "1,2").status == 0
