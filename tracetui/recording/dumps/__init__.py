"""Files of named tensors that somebody's own script wrote, opened as traces (docs/diff.md)."""

from tracetui.recording.dumps.opening import open_recorded

__all__ = ["open_recorded"]
