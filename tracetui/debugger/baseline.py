"""The run that an edited one is compared with: the last of the same prompt that no edit changed."""

from __future__ import annotations

from tracetui.debugger.session import Event, Extended, Finished, Started
from tracetui.recording.record import Record
from tracetui.recording.spill import whereabouts
from tracetui.recording.trace import EMPTY_TRACE, Trace
from tracetui.text import size

_SHARE = 4
"""Of the memory that a run finds available, so much at most goes to the baseline's values: one part in four."""
_ITEM_SIZES = {"float64": 8, "int64": 8, "complex64": 8, "float32": 4, "int32": 4, "bool": 1, "uint8": 1, "int8": 1}


class Baseline:
    """Keeps one trace, and only as long as the prompt stays; the widgets' thread alone uses it."""

    def __init__(self) -> None:
        self.trace = EMPTY_TRACE
        self.why = "no run without edits to compare with; X, Space: leave them out, r: run"
        """Why there is none."""
        self._last = EMPTY_TRACE

    def hear(self, event: Event) -> None:
        """What the session tells."""
        if isinstance(event, Started):
            self._turn(event)
        if isinstance(event, Started | Extended) or (isinstance(event, Finished) and len(event.trace)):
            self._last = event.trace

    def _turn(self, event: Started) -> None:
        """A run begins: the one before may be what it will be compared with."""
        last = self._last
        if not same_prompt(self.trace, event.trace):
            self.trace = EMPTY_TRACE
        if not (last.complete and len(last) and same_prompt(last, event.trace)):
            return
        if is_edited(last) and len(self.trace) and not is_edited(self.trace):
            return
        # What the new run shares with it takes no more memory.
        own, most = held_bytes(last, event.cut.taken), event.plan.available // _SHARE
        if own > most:
            self.trace = EMPTY_TRACE
            self.why = (
                f"the run before took {size(own)} of values, too much to keep beside another; "
                "e exports a run, and d compares with the file"
            )
            return
        self.trace = last.closed()


def same_prompt(one: Trace, other: Trace) -> bool:
    """Whether two runs were given the same tokens."""
    return _prompt(one) == _prompt(other)


def is_edited(trace: Trace) -> bool:
    """Whether an edit changed something."""
    return any(record.edited for record in trace.records)


def edits_said(trace: Trace) -> str:
    """Behind a run's name, the edits that it had: ` (layers.1.mlp: zero)`."""
    kept = trace.run.recipe.get("edits")
    if not is_edited(trace) or not isinstance(kept, list | tuple):
        return ", without edits"
    return f" ({'; '.join(map(str, kept))})"


def held_bytes(trace: Trace, shared: int = 0) -> int:
    """Bytes of the values that a trace holds in memory, without its first `shared` ones."""
    held = {
        id(value): _nbytes(record)
        for record, value in zip(trace.records[shared:], trace.values[shared:], strict=False)
        if not whereabouts(value)
    }
    return sum(held.values())


def _nbytes(record: Record) -> int:
    return record.numel * _ITEM_SIZES.get(record.dtype, 2)


def _prompt(trace: Trace) -> list[tuple[int, ...]]:
    rows = zip(trace.tokens, trace.prompt_lengths, strict=True)
    return [tuple(token.id for token in row[:length]) for row, length in rows]
