"""Files of other kinds, given to what opens recordings and to what runs models: what they are, in one wording."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from tracetui.errors import InputError
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
    "x.h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file", "is an HDF5 file"),
    "empty.npz": (b"", f"is empty{OPENS}", f"is empty{RUNS}"),
    "noise": (
        bytes(range(256)),
        f"is of no kind that tracetui knows{OPENS}",
        f"is of no kind that tracetui knows{RUNS}",
    ),
    "notes.txt": (b"hello there\n", f"is a text{OPENS}", "is not TOML"),
    "cut.txt": (("é" * 200).encode()[:301], f"is a text{OPENS}", "is not UTF-8 text"),
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
