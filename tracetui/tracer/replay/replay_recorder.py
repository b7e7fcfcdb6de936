"""The recorder of a run that is taken up again: it begins with what the run before recorded."""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch

from tracetui.recording.cut import Cut
from tracetui.recording.record import Record, when
from tracetui.recording.value import is_kept
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.capture.values import tensor_of
from tracetui.tracer.replay.recorded_prefix import RecordedPrefix


class ReplayRecorder(Recorder):
    """Grows a trace from a cut on. Modules before the cut that run again make no records until `live`."""

    def __init__(self, past: Recorder, cut: Cut, device: torch.device, *args: Any, **kwargs: Any) -> None:
        """past: of the run before, whose values are shared. device: where the model runs.

        The rest is what every recorder takes.
        """
        super().__init__(*args, **kwargs)
        self.repeats = True
        self._device = device
        self.pass_ = cut.pass_
        self._prefix = RecordedPrefix(past.trace, cut)
        self._captures.earlier_mask = self._prefix.mask
        self._take(past, cut.record)

    def _take(self, past: Recorder, count: int) -> None:
        """What the run before has of its first `count` records."""
        trace = past.trace
        self._records.extend(trace.records[:count])
        self._values.extend(trace.values[:count])
        for key, call in trace.attention.items():
            if (record := trace.find(key)) is not None and record.index < count:
                self._attention[key] = call
        self._bad_weights.update(past._bad_weights)
        self._grown = [each for each in past._grown if each[0] < count]
        self._vocabulary.update(islice(past._vocabulary.items(), self._grown[-1][1] if self._grown else 0))
        self.notes = [each for each in past.notes if each[0] < count]
        pairs = zip(self._records, self._values, strict=True)
        lost = {id(value) for record, value in pairs if record.site in self.wanted and not is_kept(value)}
        self.store.carry(self._values, len(lost))

    def begin_pass(self) -> None:
        super().begin_pass()
        self.repeats = False
        self._captures.earlier_mask = None

    def live(self) -> None:
        """What runs from now on is recorded."""
        self.repeats = False
        for path, count in self._prefix.calls().items():
            self.calls[path] = max(count, self.calls.get(path, 0))

    def failed_model(self) -> None:
        super().failed_model()
        if self.repeats:
            # It failed where nothing was to be recorded again; what it was given is.
            self.live()

    def repeated(self, site: str, tensor: torch.Tensor, call: int, part: int) -> tuple[torch.Tensor, Record] | None:
        if not self.repeats:
            return None
        key = f"{site}{f'#{part}' if part else ''}{when(self.pass_, call)}"
        made, record = self._prefix.again(key, tensor)
        self.sources.add(made, record.index)
        return made, record

    def may_record(self, site: str, call: int, part: int) -> bool:
        """Whether a site is recorded; before the cut only if the earlier run recorded it."""
        return not self.repeats or self._prefix.has(site, self.pass_, call, part)

    def is_finite(self, tensor: torch.Tensor) -> bool:
        """Whether all elements are finite; before the cut the earlier run has checked that already."""
        return self.repeats or super().is_finite(tensor)

    def returns(self, record: Record) -> torch.Tensor:
        """The tensor of a record before the cut, as its module returns it; its later uses are traced back to the
        record."""
        value = self._values[record.index]
        tensor = tensor_of(value, self._device)
        self._captures.remember(tensor, value)
        self.sources.add(tensor, record.index)
        return tensor
