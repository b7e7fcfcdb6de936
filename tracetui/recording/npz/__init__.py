"""Trace files, format 1: plain npz files, written block by block and read by mapping them (docs/trace-format.md)."""

from tracetui.recording.npz.reader import read_trace
from tracetui.recording.npz.writer import write_trace

__all__ = ["read_trace", "write_trace"]
