"""What the thread of a model is told to do, one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from tracetui.recipe import Prompts
from tracetui.recording.trace import Trace
from tracetui.tracer.gate import Gate


@dataclass(frozen=True, slots=True)
class PreviewPrompts:
    """Say what prompts would be."""

    prompts: Prompts


@dataclass(frozen=True, slots=True)
class RunPrompts:
    prompts: Prompts
    gate: Gate


@dataclass(frozen=True, slots=True)
class Generate:
    """Choose `count` more tokens."""

    count: int
    gate: Gate


@dataclass(frozen=True, slots=True)
class Rerun:
    """Run again, from the layer of record `at` on."""

    at: int
    gate: Gate


class AnswerQuestions:
    """Something was asked, unless the waiting model has answered already."""


class GatherRanks:
    """Have what every rank recorded in the last run put together; whoever asks waits for the answer."""

    def __init__(self, gather: Callable[[Trace], Trace]) -> None:
        """gather: is given what this rank recorded last."""
        self._gather = gather
        self._answer: SimpleQueue[Trace | BaseException] = SimpleQueue()

    def carry_out(self, trace: Trace) -> None:
        """On the model's thread; `trace` is the last run's."""
        try:
            self._answer.put(self._gather(trace))
        except BaseException as error:
            self._answer.put(error)

    def answer(self) -> Trace:
        """Raises what went wrong."""
        answer = self._answer.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer


Ordered = RunPrompts | Generate | Rerun
