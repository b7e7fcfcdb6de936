"""Stops on the command line: refused before torch loads, and the exit status tells whether one fired."""

from __future__ import annotations

import json
import re

from tests.cli.running import Here


def test_a_wrong_stop_is_refused_at_once_with_a_caret(tracetui: Here) -> None:
    done = tracetui("trace", "llama-tiny", "--break", "*.mlp if nrom > 3")
    assert done.status == 2
    message, expression, caret = done.err.splitlines()
    assert "--break: at character 10: nrom is no name here; did you mean norm?" in message
    assert caret.index("^") == expression.index("nrom")


def test_a_stop_that_fires_makes_the_status_one_and_says_why(tracetui: Here) -> None:
    stops = (
        "--break",
        "layers.1.mlp if norm > 0",
        "--break",
        "layers.77",
        "--break",
        "probs",
        "--break",
        "layers.9:probs",
    )
    done = tracetui("trace", "llama-tiny", "--layers", "2", "--tokens", "1,2,3", *stops)
    assert done.status == 1
    line = r"stop layers\.1\.mlp if norm > 0: model\.layers\.1\.mlp \(step \d+\): norm = [\d.]+"
    assert re.search(line, done.out)
    assert "stop layers.77 never fired: no record has such a site\n" in done.err
    assert "stop probs never fired: no record has such a site; `*:probs` names what attention computes\n" in done.err
    assert "stop layers.9:probs never fired: no record has such a site; attention has one where" in done.err


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
