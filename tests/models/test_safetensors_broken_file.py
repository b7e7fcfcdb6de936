"""Headers, indices and folders that are not what they should be: refused in one line that names file and field."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file

from tests.models.hf_files import LLAMA, Header, as_file, header_of, rewrite_header, sharded
from tracetui.errors import InputError, RunError
from tracetui.models.checkpoints.safetensors import header as safetensors_header
from tracetui.models.checkpoints.safetensors.files import SafetensorsFiles
from tracetui.models.checkpoints.safetensors.header import MAX_HEADER_BYTES, read_header
from tracetui.models.checkpoints.safetensors.shards import find_shards

STATE = {"a.weight": torch.arange(12.0).view(3, 4), "b.weight": torch.arange(8, dtype=torch.bfloat16)}
INDEX = "model.safetensors.index.json"
WHOLE = save(STATE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "model.safetensors"
    found.write_bytes(WHOLE)
    return found


def refusal(path: Path, read: Callable[[Path], object] = read_header) -> str:
    """What is said of the file, without its path; checked to be one line that a terminal may show."""
    with pytest.raises(InputError) as error:
        read(path)
    said = str(error.value)
    assert said.startswith(f"{path}"), said
    assert said.isprintable()
    assert len(said) < 600
    return said.removeprefix(f"{path}: ")


def test_every_dtype_that_safetensors_writes_is_read_in_place(tmp_path: Path) -> None:
    state = {
        str(dtype): torch.zeros(2, 3, dtype=torch.uint8).to(dtype) for dtype in safetensors_header._DTYPES.values()
    }
    state |= {"empty": torch.empty(0, 3), "one": torch.tensor(3.0)}
    save_file(state, tmp_path / "model.safetensors")
    files = SafetensorsFiles(tmp_path)
    assert files.tensors.keys() == state.keys()
    for name, tensor in state.items():
        assert files.tensor(name).whole().dtype == tensor.dtype
        assert files.tensor(name).whole().tolist() == tensor.tolist()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is cut short or no safetensors file: it has 0 bytes"),
        (b"\2\0\0\0\0\0\0\0{", "is cut short or no safetensors file: it has 9 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
        (b"<!DOCTYPE html><html></html>", "is an HTML page"),
        (b"GGUF\x03\x00\x00\x00" + b"\0" * 50, "is a GGUF file"),
        (b"\x1f\x8b\x08\x00" + b"\0" * 60, "is gzip-compressed"),
        (b"hello, this is text", "header: at most 100,000,000 bytes are read; is this a safetensors file?, got"),
        (struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{}", "header: at most 100,000,000 bytes are read"),
        (struct.pack("<Q", MAX_HEADER_BYTES) + b"{}", "header: has 100,000,000 bytes by its length, and the file ends"),
        (as_file(b"{"), "is cut short"),
        (as_file(b"{ "), "line 1: is not JSON: "),
        (as_file(b"[]"), "must hold a JSON object, got list"),
        (as_file(b'{"\xff": 1}'), "is not UTF-8 text, at byte 2"),
        (as_file(b"[" * 10**5), "is nested too deep"),
        (as_file(b'{"a": 1, "a": 2}'), "a: stands there twice"),
        (as_file(b'{"a": NaN}'), "NaN is no JSON number"),
        (as_file(b'{"a": ' + b"9" * 4000 + b"}"), "an integer of 4000 digits is too large"),
        (as_file(b'{"\\u001b[31m": 1}'), "␛[31m: must be a table with dtype, shape and data_offsets, got 1"),
        (as_file(b'{"__metadata__": {"format": 1}}'), "__metadata__: must be a table of texts"),
        (as_file(b"{}", b"more"), "has bytes that belong to no tensor: by its header it has 10 bytes, got 14"),
    ],
)
def test_what_is_no_header_is_told_for_what_it_is(path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)
    assert refusal(path).startswith(said)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("dtype", "F7", "a.weight: dtype: is none that tracetui knows, got 'F7'"),
        ("dtype", None, "a.weight: dtype: is none that tracetui knows"),
        ("dtype", ["F32"], "a.weight: dtype: is none that tracetui knows, got ['F32']"),
        ("dtype", "F64", "a.weight: data_offsets: F64 of the shape [3, 4] has 96 bytes, got [0, 48]"),
        ("shape", "34", "a.weight: shape: must be a list of sizes, got '34'"),
        ("shape", [3, -4], "a.weight: shape: must be a list of sizes, got [3, -4]"),
        ("shape", [3, 4.0], "a.weight: shape: must be a list of sizes"),
        ("shape", [True, 12], "a.weight: shape: must be a list of sizes"),
        ("shape", [2**55, 0], "a.weight: shape: must be a list of sizes"),
        ("shape", [2**50, 0, 2**50], "a.weight: shape: is larger than any file"),
        ("shape", [12] + [1] * 16, "a.weight: shape: must have at most 16 axes, got 17"),
        ("shape", [3, 5], "a.weight: data_offsets: F32 of the shape [3, 5] has 60 bytes, got [0, 48]"),
        ("data_offsets", [0], "a.weight: data_offsets: must be where its bytes begin and end, got [0]"),
        ("data_offsets", [0, 48, 1], "a.weight: data_offsets: must be where its bytes begin and end"),
        ("data_offsets", [-48, 0], "a.weight: data_offsets: must be where its bytes begin and end"),
        ("data_offsets", [48, 0], "a.weight: data_offsets: F32 of the shape [3, 4] has 48 bytes, got [48, 0]"),
        ("data_offsets", [1, 49], "data_offsets: must begin at "),
        ("data_offsets", [16, 64], "data_offsets: must begin at "),
        ("data_offsets", [10**15, 10**15 + 48], "data_offsets: must begin at "),
    ],
)
def test_a_tensor_that_does_not_add_up_is_refused_by_name(path: Path, key: str, value: Any, said: str) -> None:
    def change(header: Header) -> None:
        header["a.weight"][key] = value

    rewrite_header(path, change)
    assert said in refusal(path)


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    for size in range(len(WHOLE)):
        path.write_bytes(WHOLE[:size])
        refusal(path)


def test_more_tensors_than_any_model_has_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors_header, "MAX_TENSORS", 1)
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    path.write_bytes(as_file(json.dumps({str(number): empty for number in range(9)}).encode()))
    assert refusal(path) == "holds more than 3 objects"


@settings(max_examples=300)
@given(st.data())
def test_a_header_changed_anywhere_is_refused_or_read_within_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    header_end = 8 + struct.unpack("<Q", WHOLE[:8])[0]
    changed = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, header_end - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(changed)
    try:
        found, refused = read_header(path), ""
    except InputError as error:
        found, refused = {}, str(error)
    if refused:
        assert refused.startswith(f"{path}")
        assert refused.isprintable()
        return
    assert all(8 <= tensor.start <= tensor.stop <= len(changed) for tensor in found.values())
    # What is accepted here is what the format's own library reads too, with the same meaning.
    try:
        with safe_open(path, "pt") as theirs:
            assert set(theirs.keys()) == set(found)
            for name, tensor in found.items():
                assert tuple(theirs.get_slice(name).get_shape()) == tensor.shape
    except SafetensorError:
        pass


def index(folder: Path, weight_map: object, **more: object) -> Path:
    path = folder / INDEX
    path.write_text(json.dumps({"weight_map": weight_map, **more}))
    return path


@pytest.mark.parametrize(
    "name",
    ["../secret.safetensors", "/etc/secret.safetensors", "a/b.safetensors", "a\\b.safetensors", "\0.safetensors"],
)
def test_an_index_can_t_name_a_file_elsewhere(tmp_path: Path, name: str) -> None:
    path = index(tmp_path, {"a.weight": name})
    said = refusal(path, lambda _: find_shards(tmp_path))
    assert "weight_map: " in said
    assert "must be the plain name of a file in this folder" in said


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret.safetensors", tmp_path / "model"
    secret.write_bytes(WHOLE)
    folder.mkdir()
    (folder / "model-00001-of-00001.safetensors").symlink_to(secret)
    index(folder, {"a.weight": "model-00001-of-00001.safetensors"})
    with pytest.raises(InputError, match="is a link that leads out of its folder, and nothing outside is read"):
        find_shards(folder)
    (folder / "model.safetensors").symlink_to("../secret.safetensors")
    with pytest.raises(InputError, match=r"model/model.safetensors: is a link that leads out"):
        find_shards(folder)


def test_links_within_the_folder_and_those_of_the_hub_s_cache_are_followed(tmp_path: Path) -> None:
    cache = tmp_path / "models--a--b"
    folder = cache / "snapshots" / "0123abcd"
    folder.mkdir(parents=True)
    (cache / "blobs").mkdir()
    (cache / "blobs" / "fe12").write_bytes(WHOLE)
    (folder / "model.safetensors").symlink_to("../../blobs/fe12")
    assert SafetensorsFiles(folder).tensor("a.weight").whole().tolist() == STATE["a.weight"].tolist()
    (cache / "snapshots" / "other").write_bytes(WHOLE)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../other")
    with pytest.raises(InputError, match="is a link that leads out of its folder"):
        SafetensorsFiles(folder)


@pytest.mark.parametrize(
    ("weight_map", "said"),
    [
        (None, "weight_map: must be a table of tensors and their files"),
        ({}, "weight_map: must be a table of tensors and their files"),
        (["a.weight"], "weight_map: must be a table of tensors and their files"),
        ({"a.weight": 1}, "weight_map.a.weight: must be a file's name, got 1"),
        ({"\x1b": None}, "weight_map.␛: must be a file's name"),
        ({"a.weight": "config.json"}, "weight_map: must name files that end in .safetensors, got 'config.json'"),
        ({"a.weight": "m.safetensors"}, "weight_map: none of its 1 files is in the folder, not even m.safetensors"),
    ],
)
def test_an_index_that_lists_no_files_is_refused(tmp_path: Path, weight_map: object, said: str) -> None:
    assert refusal(index(tmp_path, weight_map), lambda _: find_shards(tmp_path)).startswith(said)


def test_an_index_of_other_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / INDEX
    for content, said in (
        (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
        (b'{"weight_map": {"a": "x", "a": "y"}}', "a: stands there twice"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "holds more than 100 objects"),
        (b'{"weight_map": ', "line 1: is not JSON"),
    ):
        path.write_bytes(content)
        assert refusal(path, lambda _: find_shards(tmp_path)).startswith(said)
    os.truncate(path, 64 * 2**20 + 1)
    assert refusal(path, lambda _: find_shards(tmp_path)).startswith("larger than the 67,108,864 bytes")


def test_one_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"model-0000{number}-of-00002.safetensors").write_bytes(WHOLE)
    with pytest.raises(InputError, match=r"00002-of-00002.safetensors: a.weight: stands in another file too, got"):
        SafetensorsFiles(tmp_path)


def test_a_folder_without_weights_says_what_it_has_instead(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no: model.safetensors: its folder doesn't exist; --weights random"):
        find_shards(tmp_path / "no")
    with pytest.raises(InputError, match=r"model.safetensors: is missing; --weights random runs"):
        find_shards(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(InputError, match=r"pytorch_model.bin: is a pickle, which tracetui doesn't read; save it again"):
        find_shards(tmp_path)


def test_a_pipe_in_a_weight_file_s_place_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="is not a regular file"):
        SafetensorsFiles(tmp_path)


def test_a_file_changed_behind_our_back_is_not_read(path: Path) -> None:
    files = SafetensorsFiles(path.parent)
    assert files.tensor("a.weight").whole().tolist() == STATE["a.weight"].tolist()
    os.truncate(path, len(WHOLE) // 2)
    for name in STATE:
        with pytest.raises(RunError, match="was changed while it was open; run it again"):
            files.tensor(name).whole()


def test_a_header_of_a_real_file_is_what_it_was(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "llama")
    for shard in folder.glob("*.safetensors"):
        header = header_of(shard)
        del header["__metadata__"]
        assert {name: list(tensor.shape) for name, tensor in read_header(shard).items()} == {
            name: said["shape"] for name, said in header.items()
        }
    assert "model.embed_tokens.weight" in SafetensorsFiles(folder).tensors
    assert SafetensorsFiles(folder).tensors["lm_head.weight"].shape == (LLAMA["vocab_size"], LLAMA["hidden_size"])
