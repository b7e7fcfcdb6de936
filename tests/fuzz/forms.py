"""The kinds of files that come from strangers: how a sound one is made, how it is read, and who else reads it."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors.numpy import save_file

from tests.formats import gguf_bytes as g
from tests.fuzz.mutations import (
    Mutate,
    gguf_numbers,
    json_text,
    npy_head,
    rank_lines,
    safetensors_header,
    toml_text,
    zip_parts,
)
from tests.models.tokenizers.samples import byte_level_json, llama3_file, sentencepiece_json
from tests.recording.made import small_trace
from tracetui import paths
from tracetui.analysis.mapping.rules import read_rules
from tracetui.debugger.memory.note import NO_NOTE
from tracetui.debugger.memory.store import NoteStore
from tracetui.formats.gguf.files import read_files
from tracetui.models.chat.template_files import find_template
from tracetui.models.checkpoints.gguf.stored import BlockTensor
from tracetui.models.checkpoints.safetensors.files import SafetensorsFiles
from tracetui.models.checkpoints.torch_file import stored_tensors
from tracetui.models.checkpoints.weight_file import StoredTensor, WeightFile
from tracetui.models.tokenizers import load_tokenizer
from tracetui.models.tokenizers.ranks import read_ranks
from tracetui.recipe import load_recipe
from tracetui.recipe.batch_file import read_batch
from tracetui.recipe.prompts import texts
from tracetui.recording.dumps import open_recorded
from tracetui.recording.npz import write_trace
from tracetui.recording.npz.names import HEADER, TIMING
from tracetui.recording.value import NotKeptError
from tracetui.ui.keys.keymap import load_keymap
from tracetui.ui.theme.file import read_theme

Value = tuple[str, tuple[int, ...], bytes]
"""Dtype, shape and bytes, in little order."""
Values = Mapping[str, Value]
"""By name."""


@dataclass(frozen=True, slots=True)
class FileForm:
    """One kind of file."""

    make: Callable[[Path], Path]
    """Writes a sound one into a folder."""
    read: Callable[[Path], Values]
    """All that the program reads of it."""
    mutate: Callable[[Path], Mutate]
    """What changes it by its form, from the sound one."""
    other: Callable[[Path], Values] | None = None
    """Somebody else's reader, which raises for what it doesn't take."""
    checksums: bool = False
    """Whether `info --check` says that every value is what was written."""


def known(array: np.ndarray, dtype: str = "") -> Value:
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return dtype or array.dtype.name, array.shape, little.tobytes()


def _recorded(path: Path) -> Values:
    trace = open_recorded(path)
    values = {}
    for record, value in zip(trace.records, trace.values, strict=True):
        value.statistics()
        try:
            values[record.key] = known(value.read(), value.dtype)
        except NotKeptError:
            continue
    return values


def _trace(folder: Path, compress: bool) -> Path:
    write_trace(small_trace(rows=3), folder / "t.npz", compress=compress)
    return folder / "t.npz"


ARRAYS = {
    "h.0": np.arange(12, dtype=np.float32).reshape(3, 4),
    "h.0.attn": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "ids": np.arange(5),
    "mask": np.array([True, False, True]),
    "half": np.arange(4, dtype=np.float16),
}


def _dump(folder: Path, save: Callable[..., None]) -> Path:
    save(folder / "dump.npz", **ARRAYS)
    return folder / "dump.npz"


def _by_numpy(path: Path) -> Values:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    # What numpy has no name for, two bytes each, is taken for bfloat16 here.
    return {name: known(array) for name, array in arrays.items() if array.dtype.kind != "V"}


def _npy(folder: Path) -> Path:
    np.save(folder / "one.npy", ARRAYS["h.0"])
    return folder / "one.npy"


def _npy_by_numpy(path: Path) -> Values:
    array = np.load(path)
    return {} if array.dtype.kind == "V" else {path.stem: known(array)}


def _trace_parts(path: Path) -> Mutate:
    return zip_parts(path, (f"{HEADER}.npy", f"{TIMING}.npy"))


STATE = {
    "a.weight": torch.arange(12.0).view(3, 4),
    "b.weight": torch.arange(8, dtype=torch.bfloat16),
    "c": torch.arange(3),
}


def _safetensors(folder: Path) -> Path:
    safetensors.torch.save_file(STATE, folder / "model.safetensors", {"format": "pt"})
    return folder / "model.safetensors"


def _safetensors_dump(folder: Path) -> Path:
    save_file({name: np.ascontiguousarray(array) for name, array in ARRAYS.items()}, folder / "dump.safetensors")
    return folder / "dump.safetensors"


def _tensors(tensors: Mapping[str, StoredTensor]) -> Values:
    return {name: _tensor(tensor.whole()) for name, tensor in tensors.items()}


def _tensor(tensor: torch.Tensor) -> Value:
    flat = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    content = (flat != 0).tobytes() if tensor.dtype == torch.bool else flat.tobytes()
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), content


def _weights(path: Path) -> Values:
    files = SafetensorsFiles(path.parent)
    return _tensors({name: files.tensor(name) for name in files.tensors})


def _by_safetensors(path: Path) -> Values:
    return {name: _tensor(tensor) for name, tensor in safetensors.torch.load(path.read_bytes()).items()}


def _gguf(folder: Path) -> Path:
    """Half of the numbers of its metadata and tensors are eight bytes wide, and a tensor is of each kind of type."""
    sizes = {"block_count": 1, "embedding_length": 64, "attention.head_count": 4, "feed_forward_length": 64}
    metadata = {
        "general.architecture": (g.TEXT, g.text("llama")),
        **{f"llama.{name}": (g.U32, struct.pack("<I", size)) for name, size in sizes.items()},
        "llama.rope.freq_base": (g.F32, struct.pack("<f", 1e4)),
        "tokenizer.ggml.model": (g.TEXT, g.text("gpt2")),
        "tokenizer.ggml.tokens": (g.ARRAY, g.array(g.TEXT, ["a", "é", "</s>"])),
        "tokenizer.ggml.scores": (g.ARRAY, g.array(g.F32, [0.0, 1.0, 2.0])),
    }
    tensors = [
        g.Tensor("token_embd.weight", [64, 3], 0, 0),
        g.Tensor("blk.0.attn_q.weight", [64, 2], 8, 768),
        g.Tensor("output_norm.weight", [8], 1, 928),
    ]
    (folder / "model.gguf").write_bytes(g.usual(metadata, tensors, 960))
    return folder / "model.gguf"


def _of_gguf(path: Path) -> Values:
    load_recipe(str(path))
    files = read_files(path)
    opened = {header.path: WeightFile(header.path) for header in files.headers}
    tensors = (BlockTensor(name, opened[files.path_of[name]], place) for name, place in files.tensors.items())
    return {tensor.name: _tensor(tensor.read(None, torch.float32, lambda made: None)) for tensor in tensors}


def _pth(folder: Path) -> Path:
    torch.save(STATE, folder / "consolidated.00.pth")
    return folder / "consolidated.00.pth"


def _by_torch(path: Path) -> Values:
    return {name: _tensor(tensor) for name, tensor in torch.load(path, weights_only=True).items()}


def _index(folder: Path) -> Path:
    names = {name: f"model-{number:05}-of-00003.safetensors" for number, name in enumerate(STATE, start=1)}
    for name, file in names.items():
        safetensors.torch.save_file({name: STATE[name]}, folder / file)
    (folder / _INDEX).write_text(json.dumps({"metadata": {"total_size": 88}, "weight_map": names}))
    return folder / _INDEX


def _ranks_by_base64(path: Path) -> Values:
    lines = [line.split(b" ") for line in path.read_bytes().splitlines() if line.strip()]
    return {str(int(rank)): ("token", (), base64.b64decode(token, validate=True)) for token, rank in lines}


def _ranks(path: Path) -> Values:
    load_tokenizer(str(path), 300_000).encode("the thing 123 é")
    return {str(rank): ("token", (), token) for token, rank in read_ranks(path).items()}


def _few_ranks(folder: Path) -> Path:
    words = [b"th", b"the", b" the", b"in", b"ing"]
    return llama3_file(folder / "tokenizer.model", [bytes([byte]) for byte in range(256)] + words)


def _tokenizer(path: Path) -> Values:
    tokenizer = load_tokenizer(str(path), 300_000)
    for text in ("the thing <s> é 火", "a" * 200, "", " "):
        tokens = tokenizer.encode(text)
        tokenizer.decode([token.id for token in tokens])
    return {}


def _of_nothing(read: Callable[[Path], Any]) -> Callable[[Path], Values]:
    def all_read(path: Path) -> Values:
        read(path)
        return {}

    return all_read


def _as_json(path: Path) -> Mutate:
    return json_text


def _text_form(name: str, text: str, read: Callable[[Path], Any]) -> FileForm:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return FileForm(make, _of_nothing(read), lambda path: json_text if name.endswith(".json") else toml_text)


def _first_theme() -> Path:
    return min(paths.themes().glob("*.toml"))


def _note(folder: Path) -> Path:
    store = NoteStore("m")
    store.write(replace(NO_NOTE, prompts=texts("hi", "there"), earlier=("a", "b"), more=3))
    return store.path


_TOKENIZER, _INDEX = "tokenizer.json", "model.safetensors.index.json"
CONFIG = json.dumps(
    {
        "model_type": "llama",
        "vocab_size": 320,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_theta": 5e5,
        "eos_token_id": [2, 3],
        "rope_scaling": {"rope_type": "linear", "factor": 2.0},
        "torch_dtype": "bfloat16",
    }
)
PARAMS = json.dumps({"dim": 64, "n_layers": 3, "n_heads": 4, "n_kv_heads": 2, "vocab_size": 300, "norm_eps": 1e-5})
RECIPE = """title = "A recipe"
prompt = "hi"
layers = 2
dtype = "float32"
seed = 3
[config]
model_type = "llama"
vocab_size = 320
hidden_size = 64
intermediate_size = 96
num_hidden_layers = 3
num_attention_heads = 4
"""
RULES = """strip_a = ["model."]
[[site]]
b = "blk.{n}.attn_q"
a = "layers.{n}.self_attn.q_proj"
layout = "transposed"
"""
KEYS = """[keys]
over = "n,f10"
into = "s"
"""
CHAT = json.dumps({"chat_template": "{{ messages[0].content }}", "bos_token": {"content": "<s>"}, "eos_token": "</s>"})

FORMS: dict[str, FileForm] = {
    "trace": FileForm(lambda folder: _trace(folder, False), _recorded, _trace_parts, checksums=True),
    "compressed trace": FileForm(lambda folder: _trace(folder, True), _recorded, _trace_parts, checksums=True),
    "npz": FileForm(lambda folder: _dump(folder, np.savez), _recorded, zip_parts, _by_numpy, True),
    "packed npz": FileForm(lambda folder: _dump(folder, np.savez_compressed), _recorded, zip_parts, _by_numpy, True),
    "npy": FileForm(_npy, _recorded, lambda path: npy_head, _npy_by_numpy),
    "safetensors dump": FileForm(_safetensors_dump, _recorded, lambda path: safetensors_header, _by_safetensors),
    "safetensors": FileForm(_safetensors, _weights, lambda path: safetensors_header, _by_safetensors),
    "index": FileForm(_index, _weights, _as_json),
    "gguf": FileForm(_gguf, _of_gguf, lambda path: gguf_numbers),
    "pth": FileForm(_pth, lambda path: _tensors(stored_tensors(WeightFile(path))), zip_parts, _by_torch),
    "ranks": FileForm(_few_ranks, _ranks, lambda path: rank_lines, _ranks_by_base64),
    "tokenizer of bytes": FileForm(lambda folder: byte_level_json(folder / _TOKENIZER), _tokenizer, _as_json),
    "tokenizer of pieces": FileForm(lambda folder: sentencepiece_json(folder / _TOKENIZER), _tokenizer, _as_json),
    "chat template": _text_form("tokenizer_config.json", CHAT, lambda path: find_template([path.parent])),
    "config": _text_form("config.json", CONFIG, lambda path: load_recipe(str(path))),
    "params": _text_form("params.json", PARAMS, lambda path: load_recipe(str(path.parent))),
    "recipe": _text_form("r.toml", RECIPE, lambda path: load_recipe(str(path))),
    "rules": _text_form("names.toml", RULES, read_rules),
    "batch": _text_form("batch.txt", "one\ntwo = 2\nthree\n", read_batch),
    "theme": _text_form("theme.toml", _first_theme().read_text(), read_theme),
    "keys": _text_form("keys.toml", KEYS, lambda path: load_keymap(path, lambda: ("over", "into"))),
    "session note": FileForm(_note, _of_nothing(lambda path: NoteStore("m").read()), _as_json),
}
