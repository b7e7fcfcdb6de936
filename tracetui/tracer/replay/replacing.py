"""Tensors from other traces, on the model's thread: opened once, read where they are needed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from tracetui.errors import InputError
from tracetui.expr.edit import REPLACE, Edit, ReplacementSource
from tracetui.expr.replacement import key_in, open_source
from tracetui.recording.trace import Trace
from tracetui.recording.value import Index, NotKeptError
from tracetui.tracer.capture.values import dtype_name

EditDue = tuple[int, tuple[str, int], str]
"""That an edit was due: at which record, its identity, and why it couldn't be carried out."""


class Replacements:
    """The traces that one run's edits take tensors from. Used by the model's thread alone."""

    def __init__(self) -> None:
        self._opened: dict[str, Trace] = {}

    def keep_open(self, past: Replacements, edits: Iterable[Edit], history: Iterable[EditDue]) -> None:
        """Go on reading the files of edits that an earlier run has carried out, as it has opened them.

        What is taken over of that run comes from them: read anew, one run would be of two states of a file.
        """
        done = {identity for _, identity, reason in history if not reason}
        paths = {edit.action.source.path for edit in edits if edit.identity in done and edit.action.source}
        self._opened |= {path: trace for path, trace in past._opened.items() if path in paths}

    def part(
        self, source: ReplacementSource, key: str, index: Index, like: torch.Tensor, by_head: bool = False
    ) -> torch.Tensor:
        """What stands for `like`, the part `index` of the tensor under `key`: as large and of the same dtype.

        Raises InputError with what is there instead.
        """
        if source.path not in self._opened:
            self._opened[source.path] = open_source(source.path, REPLACE)
        trace = self._opened[source.path]
        theirs = key_in(trace, source, key, REPLACE, by_head)
        record = trace.find(theirs)
        if record is None:
            raise InputError(f"{source.path} has no {theirs}")
        if record.dtype != dtype_name(like.dtype):
            raise InputError(f"{source.path} has {theirs} as {record.dtype}, here it is {dtype_name(like.dtype)}")
        try:
            array = np.asarray(trace.value(record).read(index))
        except IndexError:
            raise InputError(f"{source.path} has {theirs} as {list(record.shape)}, without such a place") from None
        except NotKeptError:
            raise InputError(f"{source.path} kept no values of {theirs}, only its statistics") from None
        if array.shape != tuple(like.shape):
            raise InputError(f"{source.path} has {list(array.shape)} at {theirs}, here it is {list(like.shape)}")
        # bf16 and fp8 are read as float32, which holds each of their numbers.
        return torch.from_numpy(array).to(like.device, like.dtype)
