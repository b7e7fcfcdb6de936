"""Several prompts and chats at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import Here
from tests.models.tokenizers.samples import byte_level_json
from tracetui.recording.npz import read_trace

TEMPLATE = "<s>{% for message in messages %}<|end_of_text|>{{ message.role }}\n{{ message.content }}{% endfor %}"
RECIPE = """
tokenizer = "./tokenizer.json"
dtype = "float32"
[config]
model_type = "llama"
vocab_size = 300
hidden_size = 32
intermediate_size = 48
num_hidden_layers = 1
num_attention_heads = 4
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A recipe whose tokenizer has a chat template."""
    byte_level_json(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    (tmp_path / "mine.toml").write_text(RECIPE)
    return str(tmp_path / "mine.toml")


def test_predictions_are_told_row_by_row(tracetui: Here, tmp_path: Path) -> None:
    batch, path = tmp_path / "prompts.txt", tmp_path / "t.npz"
    batch.write_text('the answer\n"to\\nall"\n')
    said = tracetui("trace", "llama-tiny", "--batch", str(batch), "-o", str(path))
    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[1].startswith("row 0 of 0–1, 3 tokens: <|begin_of_text|>the answer")
    assert lines[7].startswith("row 1 of 0–1, ")
    assert lines[7].endswith("<|begin_of_text|>to⏎all")
    assert sum("logit" in line for line in lines) == 10
    assert read_trace(path).run.recipe["prompt"] == ["the answer", "to\nall"]


def test_ids_may_be_several_rows(tracetui: Here) -> None:
    said = tracetui("trace", "llama-tiny", "--tokens", "1,2,3", "--tokens", "4")
    assert said.status == 0
    assert "row 0 of 0–1, 3 tokens: " in said.out
    assert "row 1 of 0–1, 1 tokens: " in said.out
    assert "row 3 of 0–3, 5 tokens: " in tracetui("trace", "llama-tiny", "--random-tokens", "4x5").out


def test_a_chat_is_shown_as_text_and_tokens_before_it_runs(tracetui: Here, model: str, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    said = tracetui(
        "trace", model, "--chat", "--system", "be\x1b", "-p", "the", "-p", "<|end_of_text|>", "-o", str(path)
    )
    assert said.status == 0, said.err
    chats = "<s><|end_of_text|>system⏎be␛<|end_of_text|>user⏎"
    lines = said.err.splitlines()
    assert lines[0] == f"chat: row 0 of 0–1: {chats}the"
    assert lines[1].startswith("tokens: row 0 of 0–1: 19: [<s> 259] [<|end_of_text|> 260] s 115 y 121 ")
    assert lines[1].endswith(" ⏎ 10 the 257")
    assert lines[2] == f"chat: row 1 of 0–1: {chats}<|end_of_text|>"
    warning = "typed in the prompt and taken as special: <|end_of_text|>; --no-special keeps such names text"
    assert lines[4] == f"warning: row 1 of 0–1: {warning}"
    assert len(lines) == 5
    trace = read_trace(path)
    assert [token.special for token in trace.tokens[1]].count(True) == 4
    assert {key: trace.run.recipe[key] for key in ("chat", "system")} == {"chat": True, "system": "be\x1b"}
    plain = tracetui("trace", model, "--chat", "--no-special", "-p", "<|end_of_text|>", "-o", str(path))
    assert "warning" not in plain.err
    assert [token.special for token in read_trace(path).tokens[0]].count(True) == 2


def test_a_template_that_fails_is_told_in_one_line(tracetui: Here, model: str, tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('\x1b[31mno') }}")
    complaint = tracetui.refused("trace", model, "--chat", "-p", "the")
    assert complaint == f"{tmp_path}/chat_template.jinja: the chat template failed: TemplateError: ␛[31mno"
