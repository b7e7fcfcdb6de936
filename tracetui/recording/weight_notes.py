"""Remarks on a run's weights that say no more than that all is as it should be."""

from __future__ import annotations

import re

_REASSURING = re.compile(r"[^:]*: (?:all \d+ tensors from the file|dequantised: .*)")


def all_from_file(file: str, tensors: int) -> str:
    """Nothing is missing: `model.gguf: all 272 tensors from the file`."""
    return f"{file}: all {tensors} tensors from the file"


def dequantised(file: str, kinds: str) -> str:
    """What was quantised: `model.gguf: dequantised: 210 from Q4_1`."""
    return f"{file}: dequantised: {kinds}"


def is_reassuring(note: str) -> bool:
    """Whether nobody has to know a remark to judge a result by; `Trace.run.notes` keeps them all."""
    return _REASSURING.fullmatch(note) is not None
