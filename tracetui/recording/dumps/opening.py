"""Opens whatever holds recorded tensors: a trace, or a plain npz or safetensors file of somebody's own."""

from __future__ import annotations

import shlex
from pathlib import Path

from tracetui.errors import InputError
from tracetui.file_heads import GGUF_MAGIC, HEAD_BYTES
from tracetui.file_kinds import is_npy, is_safetensors, is_zip, no_recording
from tracetui.formats.collector import collector_paused
from tracetui.paths import open_regular, refuse_disguised
from tracetui.recording.dumps.npy_folder import is_npy_folder, read_npy_folder
from tracetui.recording.dumps.npz import has_header, read_npy_dump, read_npz_dump
from tracetui.recording.npz import read_trace
from tracetui.recording.trace import Trace
from tracetui.text import visible

_LOG_BYTES = 1 << 20
"""A program's log says much before its first tensor."""


def how_to_record(model: str) -> str:
    """What to type for a model in place of a recording."""
    name = visible(shlex.quote(model), 300)
    return f"`tracetui trace {name} -p 'some text' -o run.npz` records a run of it, `tracetui run {name}` debugs it"


@collector_paused()
def open_recorded(path: Path) -> Trace:
    """The trace in a file, or the named tensors of a plain one, or of a folder of npy files, as a trace.

    Values are read when they are asked for. Raises InputError naming the file, and the member or field that is wrong.
    """
    if path.is_dir():
        if is_npy_folder(path):
            return read_npy_folder(path)
        raise InputError(f"{path}: is a folder and no recording; of a model's folder {how_to_record(str(path))}")
    with open_regular(path) as file:
        beginning = file.read(_LOG_BYTES)
    head = beginning[:HEAD_BYTES]
    if head.startswith(GGUF_MAGIC):
        raise InputError(f"{path}: is a GGUF file, which is a model and no recording; {how_to_record(str(path))}")
    refuse_disguised(path, head)
    if is_npy(head):
        return read_npy_dump(path)
    if is_zip(head):
        return read_trace(path) if has_header(path) else read_npz_dump(path)
    if is_safetensors(head):
        from tracetui.recording.dumps.safetensors import read_safetensors_dump

        return read_safetensors_dump(path)
    from tracetui.formats.graph_log import is_graph_log

    if is_graph_log(beginning):
        from tracetui.recording.dumps.graph_log import read_log_dump

        return read_log_dump(path)
    raise no_recording(path, head)
