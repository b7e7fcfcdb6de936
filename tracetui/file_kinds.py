"""What a file is, told by its first bytes, where it isn't what was asked for."""

from __future__ import annotations

import os
from pathlib import Path

from tracetui.errors import InputError
from tracetui.file_heads import GGUF_MAGIC, HEAD_BYTES
from tracetui.paths import open_regular, refuse_disguised

GGUF_SUFFIX = ".gguf"
OPENS = "recordings and dumps are .npz, .npy and .safetensors files"
RUNS = "a model is a recipe (.toml), a .gguf file, a config.json, a folder with one, a hub id or my_file.py:build_model"
_NPY = b"\x93NUMPY"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PICKLE = b"\x80"
_OLD_TORCH = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9"
"""A pickle of the number that torch.save's old format begins with."""
_TORCH_SAVE = "a file of torch.save"
_OTHER_PICKLE = "a pickle of Python's"
_SAVE_AGAIN = "numpy.savez, or safetensors.torch.save_file, writes what opens"


def is_npy(head: bytes) -> bool:
    return head.startswith(_NPY)


def is_zip(head: bytes) -> bool:
    """Of npz files too."""
    return head.startswith(_ZIP) and not _is_torch_save(head)


def is_safetensors(head: bytes) -> bool:
    """Eight bytes of length, then a JSON object."""
    return head[8:9] == b"{" and not is_zip(head)


def is_gguf(path: Path) -> bool:
    """Whether a file is a GGUF model, whatever it is called: some programs keep theirs under a checksum."""
    if path.suffix == GGUF_SUFFIX:
        return path.is_file()
    try:
        with open_regular(path) as file:
            return file.read(len(GGUF_MAGIC)) == GGUF_MAGIC
    except (InputError, OSError):
        return False


def no_recording(path: Path, head: bytes) -> InputError:
    """The error about a file that begins like none that opens."""
    if _is_torch_save(head):
        return InputError(f"{path}: is {_kind(head)}; {_SAVE_AGAIN}")
    return InputError(f"{path}: is {_kind(head)}; {OPENS}")


def check_may_be_recipe(path: Path) -> None:
    """Raise InputError for a file that is no text, and so no recipe."""
    head = _head(path)
    if is_npy(head) or is_zip(head) or is_safetensors(head):
        raise InputError(f"{path}: is no model but a file of arrays; `tracetui open {path}` shows a recording or dump")
    if _is_torch_save(head) or not _is_text(head):
        raise InputError(f"{path}: is {_kind(head)}; {RUNS}")


def lone_weights(path: Path) -> InputError:
    """The error about a file of weights beside which nothing says of what model they are."""
    if not _head(path):
        return InputError(f"{path}: is empty; {RUNS}")
    return InputError(f"{path}: may hold weights, but no config.json or params.json that says of what lies beside it")


def _head(path: Path) -> bytes:
    with open_regular(path) as file:
        head = file.read(HEAD_BYTES)
        size = os.fstat(file.fileno()).st_size
    refuse_disguised(path, head)
    return head if size else b""


def _kind(head: bytes) -> str:
    if not head:
        return "empty"
    if _is_torch_save(head):
        return _OTHER_PICKLE if head.startswith(_PICKLE) and not head.startswith(_OLD_TORCH) else _TORCH_SAVE
    return "a text" if _is_text(head) else "of no kind that tracetui knows"


def _is_torch_save(head: bytes) -> bool:
    """A zip file whose first member is the pickle, or a pickle itself."""
    return (head.startswith(_ZIP) and b"/data.pkl" in head[:HEAD_BYTES]) or head.startswith(_PICKLE)


def _is_text(head: bytes) -> bool:
    """Whether it is UTF-8 without a NUL, but for a character that is cut off at the end."""
    try:
        return bool(head) and "\0" not in head.decode("utf-8")
    except UnicodeDecodeError as error:
        return b"\0" not in head and len(head) == HEAD_BYTES and error.start > HEAD_BYTES - 4
