"""Every example in docs/api.md runs, in its order, in a folder that has the files it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tracetui
from tests.cli.running import Here
from tests.tiny_moe import whole_trace
from tracetui.debugger.recorded_session import open_recording, outline_of
from tracetui.recording.npz import write_trace

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"
RECIPE = """
title = "tiny llama"
dtype = "float32"
tokenizer = "builtin"
[config]
model_type = "llama"
vocab_size = 4200
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 3
num_attention_heads = 4
"""


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    write_trace(whole_trace().trace, tmp_path / "mixture.npz")
    return tmp_path


def run(snippets: list[str], known: dict[str, object]) -> dict[str, object]:
    for snippet in snippets:
        exec(compile(snippet, str(DOCUMENT), "exec"), known)
    return known


def test_every_example_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = examples()
    frame = next(snippet for snippet in found if "dataframe" in snippet)
    before = found[: found.index(frame)]
    known = run(before, {"__name__": "example"})
    trace = known["trace"]
    assert isinstance(trace, tracetui.Trace)
    trace.save(folder / "mine.npz")
    run([snippet for snippet in found[len(before) :] if snippet is not frame], known)
    assert capsys.readouterr().out.startswith("<Trace of LlamaForCausalLM: 4 tokens, ")


def test_what_the_foreign_recorder_writes_is_taken_by_every_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder, used = (snippet for snippet in examples() if "Recorder" in snippet)
    assert len(recorder.strip().splitlines()) <= 15
    run([recorder, used], {"__name__": "example"})
    said = Here(monkeypatch, capsys)
    assert "model.layers.0.input_layernorm" in said("info", "foreign.npz").out
    assert said("diff", "foreign.npz", "foreign.npz").status == 0
    assert said("export", "foreign.npz", "--html", "foreign.html").status == 0
    assert outline_of(open_recording(Path("foreign.npz"))).children
    assert tracetui.open_trace("foreign.npz")["model.embed_tokens"].sum() == 128


def test_a_second_tensor_of_one_name_has_a_key_of_its_own(folder: Path) -> None:
    recorder = next(snippet for snippet in examples() if "Recorder" in snippet)
    known = run([recorder], {"__name__": "example"})
    record = known["Recorder"]()  # type: ignore[operator]
    for number in range(3):
        record("model.norm", [number])
    record.save("twice.npz")
    assert list(tracetui.open_trace("twice.npz")) == ["model.norm", "model.norm@0.1", "model.norm@0.2"]
