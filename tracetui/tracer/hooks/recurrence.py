"""Records what state-space and linear-attention blocks compute inside: convolution, decay, state and the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from tracetui.models.recurrent import kernels_called
from tracetui.tracer.capture.readable import is_readable
from tracetui.tracer.hooks.function_calls import FunctionCall, FunctionCalls
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.hooks.recurrent_steps import Step, steps_after, steps_before


@dataclass(eq=False, slots=True)
class _RunningBlock:
    path: str
    module: nn.Module
    tokens: int
    parts: dict[str, int] = field(default_factory=dict)
    """How many records each role has in this call."""


class RecurrenceWatch:
    """Of one watch; used by the model's thread alone."""

    def __init__(self, watched: Pass) -> None:
        self._frames = watched.frames
        self._recorder = watched.recorder
        self._uncounted = watched.clock.uncounted
        self._running: list[_RunningBlock] = []
        self._calls: FunctionCalls | None = None
        """Once there is something to hear: it knows of this object, and both would outlive their watch."""

    def begin(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A block that calls such kernels is about to run."""
        tensors = (each for each in (*args, *kwargs.values()) if isinstance(each, torch.Tensor) and each.dim() == 3)
        first = next(tensors, None)  # [B,T,D]
        self._running.append(_RunningBlock(path, module, 0 if first is None else first.shape[1]))
        self._listen()

    def end(self, path: str) -> None:
        """It has ended."""
        while self._running and self._running.pop().path != path:
            # Its error was caught: it has begun and will never end.
            pass
        self._listen()

    def close(self) -> None:
        """Listen to nobody."""
        self._running.clear()
        self._hear_nobody()

    def _listen(self) -> None:
        if not self._running:
            self._hear_nobody()
            return
        self._calls = self._calls or FunctionCalls(self._before, self._after)
        if not self._calls.listen(kernels_called(self._running[-1].module)):
            self._recorder.note("a profiler is on: what recurrent layers compute inside is not recorded")

    def _hear_nobody(self) -> None:
        if self._calls is not None:
            self._calls.close()
            self._calls = None

    def _before(self, call: FunctionCall) -> None:
        self._record(lambda: steps_before(call))

    def _after(self, call: FunctionCall, result: Any) -> None:
        tokens = self._running[-1].tokens if self._running else 0
        self._record(lambda: steps_after(call, result, tokens))

    def _record(self, steps: Callable[[], Iterable[Step]]) -> None:
        running = self._running[-1] if self._running else None
        if running is None or not self._frames or self._frames[-1].path != running.path:
            return
        try:
            with self._uncounted(), torch.no_grad():
                made = list(steps())
        except (RuntimeError, KeyError, IndexError, TypeError, ValueError, AttributeError):
            # Called in a way that isn't known: nothing is said rather than something wrong.
            return
        for role, tensor in made:
            self._record_step(running, role, tensor)

    def _record_step(self, running: _RunningBlock, role: str, tensor: torch.Tensor) -> None:
        part = running.parts.get(role, 0)
        running.parts[role] = part + 1
        site, call = f"{running.path}:{role}", self._frames[-1].call
        if is_readable(tensor) and self._recorder.may_record(site, call, part):
            depth = len(self._frames)
            self._recorder.record(site, tensor, depth=depth, parent=running.path, call=call, part=part)
