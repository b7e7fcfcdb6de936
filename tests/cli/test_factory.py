"""`my_file.py:build_model` as MODEL: code that makes a model, read first and run only for a run."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracetui as package
from tests.cli.running import Here
from tests.cli.terminal import Terminal
from tracetui.recording.npz import read_trace

CODE = """
import sys
from pathlib import Path
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from beside import WIDTH

Path(__file__).with_name("ran").touch()
print("the file says hello")
SIZES = dict(vocab_size=64, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.drop = nn.Linear(4, 4), nn.Dropout(0.5)

    def forward(self, x, *, scale=1.0):
        return self.drop(self.first(x)) * scale


def llama():
    return LlamaForCausalLM(LlamaConfig(**SIZES))


def named():
    return llama(), lambda id: f"word{id} "


def toy():
    return Toy(), {"x": torch.ones(2, 4), "scale": 2.0}


def bare():
    return Toy()


def table():
    return nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2))


def nothing():
    pass


def pair():
    return 3, Toy()


def wrong():
    helper()


def helper():
    raise KeyError("no such \\x1b[31m thing")


def leaves():
    sys.exit(3)


def wants(size, *, depth, kind="x"):
    return Toy()


def hollow():
    with torch.device("meta"):
        return Toy()


class Mute(BaseException):
    def __str__(self):
        raise ValueError


def mute():
    raise Mute


class Ending(Toy):
    config = property(lambda self: sys)

    def forward(self, x):
        sys.exit(0)

    def get_input_embeddings(self):
        raise RuntimeError("none")


def ends():
    return Ending(), torch.ones(2, 4)
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "beside.py").write_text("WIDTH = 32\n")
    return "mine.py"


def test_token_ids_go_through_what_the_function_makes(tracetui: Here, file: str, tmp_path: Path) -> None:
    paths = [tmp_path / "one.npz", tmp_path / "two.npz"]
    for path in paths:
        said = tracetui("trace", f"{file}:llama", "--tokens", "1,2,3", "--seed", "5", "-o", str(path))
        assert said.status == 0, said
    assert said.err.startswith("note: this runs the code in mine.py")
    trace = read_trace(paths[0])
    assert trace.run.model == "mine.py:llama"
    assert [token.id for token in trace.tokens[0]] == [1, 2, 3]
    assert {"model.layers.0.self_attn:q", "logits"} <= {record.site for record in trace.records}
    assert (trace["logits"] == read_trace(paths[1])["logits"]).all(), "the seed decides"
    assert tracetui("trace", f"{file}:llama", "--tokens", "1,2", "--generate", "3").out.count("%") >= 5
    said = tracetui("trace", f"{file}:table", "--tokens", "1,2", "-o", str(paths[0]))
    assert read_trace(paths[0])["output"].shape == (1, 2, 2)


def test_example_inputs_are_run_and_the_model_evaluates(tracetui: Here, file: str, tmp_path: Path) -> None:
    assert tracetui("trace", f"{file}:toy", "-o", "t.npz", "--edit", "first: scale 3").status == 0
    trace = read_trace(tmp_path / "t.npz")
    assert not trace.tokens
    assert (trace["drop"] == trace["first"]).all()
    assert (trace["output"] == 2 * trace["first"]).all()
    found = package.trace(f"{tmp_path / file}:toy", stops="drop")
    assert [found.records[hit.index].site for hit in found.hits] == ["drop"]


def test_what_is_wrong_is_told_before_any_code_is_run(tracetui: Here, file: str, tmp_path: Path) -> None:
    for model, told in (
        (file, "mine.py: name the function that makes the model, as in my_file.py:build_model; there are llama, named"),
        (f"{file}:lama", "mine.py: has no function lama; there are llama, named"),
        (f"{file}:wants", "mine.py:63: wants needs size, depth; a function that makes a model is called without"),
        ("gone.py:llama", "gone.py: "),
    ):
        assert tracetui.refused("trace", model).startswith(told)
    for command in ("config", "outline"):
        assert "is code; only `tracetui run` and `tracetui trace` run it" in tracetui.refused(command, f"{file}:llama")
    for option in (
        ("--layers", "1"),
        ("--dtype", "float32"),
        ("--weights", "x"),
        ("--memory", "1G"),
        ("--mla", "naive"),
    ):
        assert tracetui.refused("trace", f"{file}:llama", *option).startswith(f"{option[0]}: the code in mine.py")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "broken.py").write_text("def build(:\n")
    assert tracetui.refused("trace", "broken.py:build").startswith("broken.py:1: is no Python: ")


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("nothing", "mine.py:nothing: must return an nn.Module, or a tuple of one with a tokenizer"),
        ("pair", "got a tuple of int, Toy"),
        ("wrong", "mine.py:56: KeyError: 'no such \\x1b[31m thing'; the log is in"),
        ("leaves", "mine.py:60: SystemExit: 3 (its own program belongs under `if __name__ == '__main__':`)"),
        ("mute", "mine.py:78: Mute; the log is in"),
        ("SIZES", "mine.py: SIZES is no function once the file has run"),
        ("hollow", "mine.py:hollow: its model has parameters without memory (device meta)"),
        ("bare", "prompt: is missing; give token ids, such as 1,2,3 (--tokens)"),
    ],
)
def test_what_the_code_does_wrong_names_the_place(tracetui: Here, file: str, function: str, told: str) -> None:
    said = tracetui("trace", f"{file}:{function}")
    assert said.status == 2
    assert told in said.err.splitlines()[-1]
    assert "Traceback" not in said.err + said.out


def test_a_model_that_ends_the_program_has_failed(tracetui: Here, file: str, tmp_path: Path) -> None:
    said = tracetui("trace", f"{file}:ends", "-o", "t.npz")
    assert (said.status, said.out) == (1, "the file says hello\n")
    assert "tracetui: the model failed: SystemExit: 0; the log is in" in said.err
    assert not (tmp_path / "t.npz").exists()


def test_texts_need_a_tokenizer(tracetui: Here, file: str) -> None:
    said = tracetui("trace", f"{file}:llama", "-p", "the answer")
    assert said.status == 2
    assert "prompt: without a tokenizer: must be ids like 1,2,3" in said.err
    assert "token 1: id 64 is outside" in tracetui("trace", f"{file}:llama", "--tokens", "1,64").err


def test_no_trace_has_code_run(tracetui: Here, file: str, tmp_path: Path) -> None:
    """What a file says of its model may come from a stranger."""
    assert tracetui("trace", f"{file}:llama", "--tokens", "1,2", "-o", "t.npz").status == 0
    (tmp_path / "ran").unlink()
    said = tracetui("diff", "t.npz", "t.npz", "--noise")
    assert said.status == 2
    assert "is code" in said.err
    assert not (tmp_path / "ran").exists()


def test_the_first_screen_says_whose_code_it_runs(file: str, tmp_path: Path) -> None:
    with Terminal("run", f"{file}:named", "--tokens", "7,8", columns=120, rows=40, cwd=tmp_path, warm=True) as terminal:
        terminal.until("what mine.py:named makes", "this runs the code in mine.py", "function  named")
        terminal.until("1 recorded", "word7")
        terminal.send("6")
        terminal.until("the file says hello")
        terminal.send("c")
        terminal.until("finished")
        terminal.send("\x07")
        terminal.until("How many")
        terminal.send("2\r")
        terminal.until("finished", "2 + 2 tokens", "logits@1")
        terminal.send("q")
        assert terminal.ended() == 0
        terminal.assert_restored()


def test_code_that_fails_leaves_the_screen_alive(file: str, tmp_path: Path) -> None:
    with Terminal("run", f"{file}:wrong", columns=120, rows=40, cwd=tmp_path, warm=True) as terminal:
        terminal.until("failed", "mine.py:56: KeyError")
        terminal.send("\x11")
        assert terminal.ended() == 0
        terminal.assert_restored()


def test_the_documents_own_file_runs(tracetui: Here, file: str, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "own-models.md").read_text()
    (tmp_path / "my_file.py").write_text(text.split("```python\n")[1].split("```")[0])
    assert tracetui("trace", "my_file.py:build_model", "--tokens", "1,2,3").status == 0
    assert tracetui("trace", "my_file.py:with_inputs", "-o", "mine.npz").status == 0
