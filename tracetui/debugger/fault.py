"""What the model's own code raised, and in which module."""

from __future__ import annotations

from dataclasses import dataclass

from tracetui.errors import RunError
from tracetui.recording.trace import Trace


@dataclass(frozen=True, slots=True)
class Fault:
    """An error that the model's own code raised, and where."""

    path: str
    """Of the innermost module that was running; empty for the model itself."""
    kind: str
    """Its class."""
    error: str
    """`RuntimeError: mat1 and mat2 shapes cannot be multiplied`."""
    inputs: tuple[str, ...] = ()
    """The tensors that the module was given: `hidden_states float32 [1, 4, 32]`."""
    at: int = -1
    """Index of the record of the first of them; -1 if there is none."""
    through: tuple[str, ...] = ()
    """The lines that it came through, a module each, outermost first: `layers.1: mine.py:10`."""
    is_of_another_rank: bool = False
    """Whether a collective failed because another rank has gone, which is no fault of the module's."""

    @property
    def note(self) -> str:
        """All of it in one line."""
        return "; ".join((str(self), *self.lines))

    @property
    def lines(self) -> tuple[str, ...]:
        """What belongs under the error."""
        return (*(f"given {told}" for told in self.inputs), *(f"in {line}" for line in self.through))

    def __str__(self) -> str:
        where = f"{self.path or 'the model'} ({self.kind})"
        if self.is_of_another_rank:
            return f"another rank has ended, or lost its connection, while this one was in {where}: {self.error}"
        return f"{where} failed: {self.error}"


NO_FAULT = Fault("", "", "")


class ModelError(RunError):
    """The model's own code raised an error; everything recorded until then is in `trace`."""

    def __init__(self, fault: Fault, trace: Trace) -> None:
        super().__init__(str(fault))
        self.fault = fault
        self.trace = trace
        self.details = tuple(f"  {line}" for line in fault.lines)
