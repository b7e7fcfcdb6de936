"""Files of other kinds, given to what opens recordings and to what runs models: what they are, in one wording."""

from __future__ import annotations

import io
import os
import pickle
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from tracetui.errors import InputError
from tracetui.paths import read_bounded
from tracetui.recipe import load_recipe
from tracetui.recording.dumps import open_recorded


def npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, x=np.ones((40, 40), np.float32))
    return out.getvalue()


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.ones((4, 4), np.float32))
    return out.getvalue()


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        file.addfile(tarfile.TarInfo("x.npz"), io.BytesIO())
    return out.getvalue()


def torch_saved(zipped: bool) -> bytes:
    out = io.BytesIO()
    torch.save({"a": torch.ones(3)}, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


TENSORS = save({"a": np.ones((8, 8), np.float32)})
OPENS = "; recordings and dumps are .npz, .npy and .safetensors files"
RUNS = (
    "; a model is a recipe (.toml), a .gguf file, a config.json, a folder with one, a hub id or my_file.py:build_model"
)
KINDS: dict[str, tuple[bytes, str, str]] = {
    "x.gguf": (b"GGUF\3\0\0\0" + bytes(100), "is a GGUF file", "general.architecture: is missing"),
    "x.jpg": (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(100), "is a JPEG picture", "is a JPEG picture"),
    "x.pdf": (b"%PDF-1.7\n" + bytes(100), "is a PDF document", "is a PDF document"),
    "cmyk.jpg": (b"\xff\xd8\xff\xee\0\x0eAdobe" + bytes(100), "is a JPEG picture", "is a JPEG picture"),
    "x.gif": (b"GIF89a" + bytes(100), "is a GIF picture", "is a GIF picture"),
    "x.bz2": (b"BZh91AY" + bytes(100), "is bzip2-compressed; unpack it", "is bzip2-compressed; unpack it"),
    "x.zst": (b"\x28\xb5\x2f\xfd" + bytes(100), "is zstd-compressed; unpack", "is zstd-compressed; unpack"),
    "x.tar": (tar(), "is a tar archive; unpack it first", "is a tar archive; unpack it first"),
    "x.so": (b"\x7fELF\2\1\1" + bytes(100), "is a program or library", "is a program or library"),
    "x.onnx": (b"\x08\x08\x12\x07pytorch\x1a\x051.9.0", "is an ONNX model, which", "is an ONNX model, which"),
    "x.parquet": (b"PAR1\x15\x04" + bytes(100), "is a Parquet file", "is a Parquet file"),
    "page": (b"\n\n<!doctype html>\n<title>404</title>", "is an HTML page; the do", "is an HTML page; the do"),
    "error": (b"<?xml version='1.0'?><Error/>", "is an XML document; the do", "is an XML document; the do"),
    "x.pkl": (pickle.dumps([1]), "is a pickle of Python's; numpy.savez", f"is a pickle of Python's{RUNS}"),
    "x.h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file", "is an HDF5 file"),
    "empty.npz": (b"", f"is empty{OPENS}", f"is empty{RUNS}"),
    "noise": (
        bytes(range(256)),
        f"is of no kind that tracetui knows{OPENS}",
        f"is of no kind that tracetui knows{RUNS}",
    ),
    "notes.txt": (b"hello there\n", f"is a text{OPENS}", "is not TOML"),
    "cut.txt": (("é" * 400).encode()[:701], f"is a text{OPENS}", "is not UTF-8 text"),
    "new.bin": (torch_saved(True), "is a file of torch.save; numpy.savez, or safe", f"is a file of torch.save{RUNS}"),
    "old.bin": (torch_saved(False), "is a file of torch.save; numpy.savez, or safe", f"is a file of torch.save{RUNS}"),
    "cut.npz": (npz()[:3000], "is a zip file that was cut short, or", "is no model but a file of arrays"),
    "cut.npy": (npy()[:100], "npy header: reaches beyond the file's end: it was cut", "is no model but a file of"),
    "cut.safetensors": (TENSORS[:-20], "is cut short: by its header it has", "may hold weights, but no"),
    "empty.safetensors": (b"", f"is empty{OPENS}", f"is empty{RUNS}"),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("read", [open_recorded, lambda path: load_recipe(str(path))], ids=["open", "run"])
def test_a_file_of_another_kind_is_told_as_what_it_is(
    tmp_path: Path, name: str, read: Callable[[Path], object]
) -> None:
    content, opening, running = KINDS[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: {opening if read is open_recorded else running}")


@pytest.mark.parametrize(("name", "content"), [("a.npz", npz()), ("a.npy", npy()), ("a.safetensors", TENSORS)])
def test_whole_files_open_whatever_they_are_called(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / f"{name}.bin"
    path.write_bytes(content)
    assert len(open_recorded(path).records) == 1


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


THINGS: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (make_pipe, "is not a regular file but a pipe"),
    "socket": (make_socket, "is not a regular file but a socket"),
    "device": (make_device, "is not a regular file but a device"),
    "link to itself": (make_loop, "can't be opened: "),
}


@pytest.mark.parametrize("name", THINGS)
@pytest.mark.parametrize("read", [open_recorded, lambda path: read_bounded(path, 9)], ids=["open", "read"])
def test_what_is_no_file_is_told_as_what_it_is(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    make, problem = THINGS[name]
    path = tmp_path / "x.npz"
    make(path)
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: {problem}")


@pytest.mark.parametrize("start", [b"\x08\x08\x12\0", b"BZh\0", b"GIF\0"])
def test_a_header_s_length_is_no_other_format_s_mark(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(start.ljust(8, b"\0") + b"{}")
    with pytest.raises(InputError, match=r"by its length, and the file ends after"):
        open_recorded(path)


@pytest.mark.parametrize("text", ["<!DOCTYPE html>", "<?xml?>", "%PDF-", "GIF8"])
def test_a_prompt_may_be_a_text_of_any_kind(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text(text)
    assert read_bounded(path, 99, any_text=True) == text.encode()
    path.write_bytes(text.encode() + b"\xff")
    with pytest.raises(InputError, match="is a"):
        read_bounded(path, 99, any_text=True)
