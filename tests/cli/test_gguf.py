"""What the commands say of a GGUF file."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from tests.cli.running import Here
from tests.formats import gguf_bytes as g

SIZES = {"block_count": 2, "embedding_length": 64, "attention.head_count": 4, "feed_forward_length": 96, "new_key": 3}
METADATA = {
    "general.architecture": (g.TEXT, g.text("llama")),
    "general.name": (g.TEXT, g.text("Tiny\x1b[31m")),
    **{f"llama.{name}": (g.U32, struct.pack("<I", size)) for name, size in SIZES.items()},
    "tokenizer.ggml.model": (g.TEXT, g.text("gpt2")),
    "tokenizer.ggml.pre": (g.TEXT, g.text("smollm")),
    "tokenizer.ggml.tokens": (g.ARRAY, g.array(g.TEXT, ["a", "b", "c"])),
    "tokenizer.chat_template": (g.TEXT, g.text("{{ messages }}")),
}
TENSORS = [g.Tensor("token_embd.weight", [64, 3], 8, 0), g.Tensor("output_norm.weight", [64], 0, 224)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "tiny.gguf").write_bytes(g.usual(METADATA, TENSORS, 480))
    return tmp_path / "tiny.gguf"


def test_info_says_what_a_file_says_of_itself(path: Path, tracetui: Here) -> None:
    lines = tracetui("info", str(path)).out.splitlines()
    assert lines[:6] == [
        "file          GGUF 3, 1.09 KiB",
        "model         Tiny␛[31m",
        "architecture  llama, which runs as transformers' llama; read over: llama.new_key",
        "tensors       2: 1 Q8_0, 1 F32 · 256 elements, 14.4 bits each",
        "tokenizer     gpt2, cut as smollm, 3 tokens; a chat template",
        "",
    ]
    assert "tokenizer.ggml.tokens                        3 texts" in lines
    assert all(line.isprintable() for line in lines)


def test_a_list_of_one_text_is_one_text(path: Path, tracetui: Here) -> None:
    path.write_bytes(g.usual({**METADATA, "general.tags": (g.ARRAY, g.array(g.TEXT, ["chat"]))}, TENSORS, 480))
    assert "general.tags                                 1 text\n" in tracetui("info", str(path)).out


def test_info_says_why_a_file_does_not_run(path: Path, tracetui: Here) -> None:
    path.write_bytes(g.usual({**METADATA, "general.type": (g.TEXT, g.text("adapter"))}, TENSORS, 480))
    assert "architecture  general.type: holds an adapter, no model" in tracetui("info", str(path)).out


def test_info_for_machines(path: Path, tracetui: Here) -> None:
    document = json.loads(tracetui("info", str(path), "--json").out)
    assert document["tensors"]["token_embd.weight"] == {"type": "Q8_0", "shape": [3, 64], "bytes": 204}
    assert document["metadata"]["tokenizer.ggml.tokens"] == {"length": 3, "kind": "texts"}
    assert document["metadata"]["llama.block_count"] == 2


def test_a_number_that_json_has_none_for_is_told_by_its_name(path: Path, tracetui: Here) -> None:
    path.write_bytes(g.usual({**METADATA, "x.scale": (g.F32, struct.pack("<f", float("-inf")))}, TENSORS, 480))
    document = json.loads(tracetui("info", str(path), "--json").out, parse_constant=pytest.fail)
    assert document["metadata"]["x.scale"] == "-Infinity"


@pytest.mark.parametrize("command", ["outline", "config"])
def test_commands_that_explain_models_take_it(path: Path, command: str, tracetui: Here) -> None:
    said = tracetui(command, str(path))
    assert said.status == 0
    assert "layer" in said.out.lower()


def test_open_says_what_takes_it(path: Path, tracetui: Here) -> None:
    for command in (("open", str(path)), ("diff", str(path), "b.npz"), ("export", str(path), "--csv")):
        problem = tracetui.refused(*command)
        assert f"is a GGUF file, which is a model and no recording; `tracetui trace {path} -p 'some text'" in problem
        assert f"`tracetui run {path}` debugs it" in problem
    assert "--check: a GGUF file has no checksums" in tracetui.refused("info", str(path), "--check")


@pytest.mark.parametrize("name", ["llama3-2layer", "smollm2", "Qwen/Qwen3-0.6B"])
def test_a_model_s_name_is_no_recording_either(tracetui: Here, name: str) -> None:
    for command in (("open", name), ("diff", name, "b.npz"), ("info", name), ("export", name, "--csv")):
        problem = tracetui.refused(*command)
        assert f"{name}: is a model and no recording; `tracetui trace {name} -p" in problem
    assert "can't be opened: No such file" in tracetui.refused("open", "mine.npz")


def test_a_model_s_folder_is_no_recording_either(tracetui: Here, tmp_path: Path) -> None:
    problem = tracetui.refused("open", str(tmp_path))
    assert f"is a folder and no recording; of a model's folder `tracetui trace {tmp_path} -p" in problem
