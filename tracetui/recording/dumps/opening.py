"""Opens whatever holds recorded tensors: a trace, or a plain npz or safetensors file of somebody's own."""

from __future__ import annotations

from pathlib import Path

from tracetui.errors import InputError
from tracetui.file_heads import HEAD_BYTES
from tracetui.file_kinds import is_npy, is_safetensors, is_zip, no_recording
from tracetui.formats.collector import collector_paused
from tracetui.paths import open_regular, refuse_disguised
from tracetui.recording.dumps.npz import has_header, read_npy_dump, read_npz_dump
from tracetui.recording.npz import read_trace
from tracetui.recording.trace import Trace

_LOG_BYTES = 1 << 20
"""A program's log says much before its first tensor."""


@collector_paused()
def open_recorded(path: Path) -> Trace:
    """The trace in a file, or the named tensors of a plain one as a trace; values are read when they are asked for.

    Raises InputError naming the file, and the member or field that is wrong.
    """
    if path.is_dir():
        advice = f"`tracetui trace {path} -o F.npz` records a folder's model"
        raise InputError(f"{path}: is not a regular file but a folder; {advice}")
    with open_regular(path) as file:
        beginning = file.read(_LOG_BYTES)
    head = beginning[:HEAD_BYTES]
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
