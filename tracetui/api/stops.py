"""Stops around a model's own call: `with tracetui.stops("nan"): model(x)`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tracetui.analysis.health.diagnosis import Diagnosis, diagnose
from tracetui.api.recipes import Kept, keep_of, stops_of
from tracetui.api.trace import Trace
from tracetui.errors import InputError, RunError
from tracetui.expr.watcher import Hit
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace as Recorded
from tracetui.views.health.lines import health_lines
from tracetui.views.run.stops import fired_lines

if TYPE_CHECKING:
    from torch import nn

_WIDTH = 110


class StopHit(RunError):  # noqa: N818
    """A stop held; the text says where and why, and for NaN and infinities who made them."""

    def __init__(self, recorded: Recorded, hits: Sequence[Hit], elsewhere: Sequence[str] = ()) -> None:
        self.hits = tuple(hits)
        """The stops that held, with the values that made their conditions true; none where they did on another rank."""
        self.elsewhere = tuple(elsewhere)
        """In words, what held on another rank of the program, which all ranks left together."""
        self.trace = Trace(recorded, hits)
        """Everything up to there."""
        self.record: Record = recorded.records[hits[0].index if hits else -1]
        """Where the model was left."""
        bad = any(hit.stop.watches_health for hit in hits)
        self.diagnosis: Diagnosis | None = diagnose(recorded, self.record) if bad else None
        """Who made what is not finite; None where no stop asked for that."""
        super().__init__("\n".join(self._lines(recorded)))

    def _lines(self, recorded: Recorded) -> Iterator[str]:
        yield from fired_lines(recorded, self.hits)
        yield from self.elsewhere
        if self.diagnosis is not None:
            yield from (line.text for line in health_lines(recorded, self.diagnosis, _WIDTH))


@contextmanager
def stops(*expressions: str, model: nn.Module | None = None, keep: Kept = "all") -> Iterator[None]:
    """Leave any module's call in this `with` at the first record where a stop holds, and raise StopHit at its end.

    Without expressions `nan` and `inf`. Every outermost call of a module that this thread makes is watched, each for
    itself; with `model` that module's calls alone. keep: whose values a call holds in memory until the next one, as
    tracetui.trace takes it. In a program of several ranks all of them have to call it, and all leave at the same record
    where a stop holds for one. What the block itself raises comes through. Raises InputError for a wrong expression.
    """
    places = stops_of(expressions or ("nan", "inf"))
    if model is not None and not hasattr(model, "named_modules"):
        raise InputError(f"model: an nn.Module is needed, got {type(model).__name__}")
    kept = keep_of(keep)
    from tracetui.tracer.hooks.guard import Guard, StopHeldError

    try:
        with Guard(places, model, kept):
            yield
    except StopHeldError as held:
        raise StopHit(held.trace, held.hits, held.elsewhere).with_traceback(held.__traceback__) from None
