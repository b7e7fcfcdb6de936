"""A model whose own code fails: what a user without a screen and one with it are left with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import Here
from tests.cli.terminal import Terminal
from tracetui.recording.npz import read_trace

RECIPE = """
title = "Rotates more of a head than there is"
prompt = "the answer"
dtype = "float32"

[config]
model_type = "gpt_neox"
vocab_size = 4200
hidden_size = 32
intermediate_size = 48
num_hidden_layers = 2
num_attention_heads = 4
max_position_embeddings = 64
rotary_pct = 3.0
"""
WHERE = "gpt_neox.layers.0.attention"
ERROR = f"{WHERE} (GPTNeoXAttention) failed: RuntimeError: The size of tensor a (8) must match"


@pytest.fixture
def failing(tmp_path: Path) -> str:
    path = tmp_path / "failing.toml"
    path.write_text(RECIPE)
    return str(path)


def test_a_run_that_fails_writes_what_was_recorded_and_says_where(tracetui: Here, failing: str, tmp_path: Path) -> None:
    said = tracetui("trace", failing, "-o", str(tmp_path / "t.npz"))
    assert said.status == 1
    assert said.complaint.startswith(ERROR)
    assert "  given hidden_states float32 [1, 3, 32]\n" in said.err
    log = next(line for line in said.err.splitlines() if "the log is in" in line).rpartition(" ")[2]
    assert "Traceback" in Path(log).read_text()
    trace = read_trace(tmp_path / "t.npz")
    assert said.out.startswith(f"{tmp_path / 't.npz'}: {len(trace)} records, ")
    assert "until the model failed" in said.out
    assert not trace.complete
    assert trace.run.notes[-1].startswith(ERROR)
    assert trace.records[-1].module == WHERE
    assert trace[f"{WHERE}:input"].shape == (1, 3, 32)
    assert ERROR in " ".join(tracetui("info", str(tmp_path / "t.npz")).out.split())


def test_for_machines_the_failure_is_among_the_notes(tracetui: Here, failing: str) -> None:
    said = tracetui("trace", failing, "--json")
    assert said.status == 1
    document = json.loads(said.out.splitlines()[-1])
    assert (document["event"], document["status"]) == ("result", 1)
    assert document["error"].startswith(ERROR)
    assert document["notes"][-1].startswith(ERROR)
    assert document["records"][-1]["site"] == f"{WHERE}:input"


def test_the_debugger_stops_at_the_failing_module_and_lives(failing: str, tmp_path: Path) -> None:
    with Terminal("run", failing, columns=120, rows=40, cwd=tmp_path, warm=True) as terminal:
        terminal.until("ready")
        terminal.send("\r")
        terminal.until("1 recorded")
        terminal.send("c")
        terminal.until("✗ failed", "✗ RuntimeError: The size of tensor a (8)", f"{WHERE}:input", "[B=1, T=3, D=32]")
        terminal.send("v")
        terminal.until("raised here", "apply_rotary_pos_emb(")
        terminal.send("\x1b")
        terminal.until("✗ RuntimeError")
        terminal.send("p")
        terminal.until("step 6 · 11 recorded")
        terminal.send("q")
        assert terminal.ended() == 0
        terminal.assert_restored()
