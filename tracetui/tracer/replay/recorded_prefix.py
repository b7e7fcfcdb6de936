"""The records of an earlier run, for one that continues it, while everything before the cut runs once more."""

from __future__ import annotations

import torch

from tracetui.errors import RunError
from tracetui.recording.cut import Cut
from tracetui.recording.record import Record, when
from tracetui.recording.trace import Trace
from tracetui.recording.value import Value, is_kept
from tracetui.tracer.capture.values import tensor_of

_MASK = ":mask"


class RecordedPrefix:
    """The records of another run before a cut. Used by the model's thread alone."""

    def __init__(self, past: Trace, cut: Cut) -> None:
        self._past = past
        self._cut = cut
        records = (record for record in past.records[: cut.record] if record.pass_ == cut.pass_)
        self._own = {record.key: record for record in records}
        self._masks = [past.value(record) for record in self._own.values() if record.site.endswith(_MASK)]

    def again(self, key: str, tensor: torch.Tensor) -> tuple[torch.Tensor, Record]:
        """The record of what a module returns once more, and what edits made of it then. Raises RunError."""
        record = self._own.get(key)
        if record is None:
            raise RunError(
                f"the model runs otherwise than before: {key} is not in the record; run it from the prompt on"
            )
        return (tensor_of(self._past.value(record), tensor.device) if record.edited else tensor), record

    def has(self, site: str, pass_: int, call: int, part: int) -> bool:
        """Whether a record was made before the cut."""
        return f"{site}{f'#{part}' if part else ''}{when(pass_, call)}" in self._own

    def calls(self) -> dict[str, int]:
        """How often each module was called in the cut's pass."""
        found: dict[str, int] = {}
        for record in self._own.values():
            found[record.module] = max(found.get(record.module, 0), record.call + 1)
        return found

    def mask(self, site: str, tensor: torch.Tensor) -> Value | None:
        """The carried value that a mask shares, if the layers before were given the same one."""
        theirs = self._past.find(f"{site}@{self._cut.pass_}" if self._cut.pass_ else site)
        known = None if theirs is None else self._past.value(theirs)
        for value in self._masks:
            if (known is None or known is value) and is_kept(value) and _equal(value, tensor):
                return value
        return None


def _equal(value: Value, tensor: torch.Tensor) -> bool:
    if value.shape != tuple(tensor.shape) or value.dtype != str(tensor.dtype).removeprefix("torch."):
        return False
    return torch.equal(tensor_of(value, tensor.device), tensor)
