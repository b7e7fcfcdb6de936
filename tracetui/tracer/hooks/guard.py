"""Stops over whatever modules somebody calls themselves: the call is left at the first record where one holds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from tracetui.debugger.session import Event, Fired
from tracetui.expr.stop import Stop
from tracetui.expr.watcher import Hit
from tracetui.models.given import described, tokens_of
from tracetui.models.module_tree import known_model
from tracetui.models.ranks.parallel import without_wrapper
from tracetui.models.recordable.watchable import check_watchable
from tracetui.recording.keep import Keep, Room
from tracetui.recording.record import Record
from tracetui.recording.trace import EMPTY_TRACE, Trace
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.capture.store import ValueStore
from tracetui.tracer.edits import Editor
from tracetui.tracer.gate import Gate
from tracetui.tracer.hooks.alone import alone, is_recording
from tracetui.tracer.hooks.model_hooks import ModelHooks
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.hooks.uncompiled import uncompiled
from tracetui.tracer.ranks.together import MeetingPoints, Ranks, meeting_points, ranks_for
from tracetui.views.run.stops import fired_lines

_MEMORY = 2**62


class StopHeldError(BaseException):
    """Leaves the model's forward where stops hold; no Exception, so that no model code can swallow it."""

    def __init__(self, trace: Trace, hits: tuple[Hit, ...], elsewhere: tuple[str, ...] = ()) -> None:
        """elsewhere: in words, the stops that hold on another rank, where none does here."""
        super().__init__(", ".join(hit.stop.text for hit in hits))
        self.trace = trace
        self.hits = hits
        self.elsewhere = elsewhere


class Guard:
    """Watches each outermost call of a module, or of one module alone, that this thread makes in a `with`.

    The hooks on a module's parts are there for the length of its call. What a call recorded goes with the next. Of a
    program of several ranks all leave at the same record, of which only some need have a stop that holds.
    """

    def __init__(self, stops: Sequence[Stop], only: nn.Module | None, keep: Keep) -> None:
        self._stops = tuple(stops)
        self._only = only
        self._keep = keep
        self._thread = 0
        self._root: nn.Module | None = None
        self._depth = 0
        self._global = ExitStack()
        self._call = ExitStack()
        self._ranks = ranks_for("tracetui.stops")
        self._hits: tuple[Hit, ...] = ()
        """Those of this rank that the others have not been told of."""
        self.trace: Trace = EMPTY_TRACE
        """Of the newest call."""

    def __enter__(self) -> Guard:
        self._thread = threading.get_ident()
        self._global.enter_context(uncompiled())
        self._global.callback(register_module_forward_pre_hook(self._before).remove)
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._call.close()
        finally:
            self._root = None
            self._global.close()

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if threading.get_ident() != self._thread or (self._root is None and is_recording()):
            return
        if self._root is not None:
            self._depth += module is self._root
        elif self._only is None or module is self._only:
            self._begin(module, args, _keywords())

    def _begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._call.close()
        wrapper, module = module, without_wrapper(module)
        known = known_model(module)
        check_watchable(known)
        gate = Gate(emit=self._hear, stops=self._stops, waits=False)
        arrived = (
            gate.arrived if self._ranks is None else partial(self._arrived, gate, self._ranks, meeting_points(known))
        )
        store = ValueStore(Room(_MEMORY, 0, None), _MEMORY)
        recorder = Recorder(
            described(module, known, wrapper), tokens_of(args, kwargs), arrived, keep=self._keep, store=store
        )
        if self._ranks is not None:
            self._hits = ()
            self._ranks.gather()
        self.trace = recorder.trace
        gate.begin(recorder.trace)
        with ExitStack() as stack:
            stack.callback(self._forget)
            stack.enter_context(alone(recorder))
            watch = stack.enter_context(ModelHooks(module, Pass(recorder, Editor(recorder), gate), known))
            if module is wrapper:
                # torch has listed the hooks of this call already, those before it that is: the outermost begins here.
                watch.begin(args, kwargs)
            # The last of all: what it takes away has run by then.
            handle = wrapper.register_forward_hook(self._after, always_call=True)
            stack.callback(handle.remove)
            self._root, self._depth = wrapper, 1
            self._call = stack.pop_all()

    def _forget(self) -> None:
        self._root, self._depth = None, 0

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self._depth -= 1
        if not self._depth:
            self._call.close()

    def _hear(self, event: Event) -> None:
        if not isinstance(event, Fired):
            return
        if self._ranks is None:
            raise StopHeldError(self.trace.closed(), event.hits)
        self._hits += event.hits

    def _arrived(self, gate: Gate, ranks: Ranks, points: MeetingPoints, record: Record) -> None:
        """All ranks leave here, or none does."""
        gate.arrived(record)
        if not points.has(record):
            return
        rank = ranks.one_of(bool(self._hits), record)
        if rank is None:
            return
        lines = [f"rank {ranks.rank} of {ranks.world}: {line}" for line in fired_lines(self.trace, self._hits)]
        elsewhere = ranks.heard_from(rank, lines)
        raise StopHeldError(self.trace.closed(), self._hits, () if self._hits else tuple(elsewhere))


def _keywords() -> dict[str, Any]:
    """What the call that torch is about to make has by name: hooks for all modules aren't told."""
    found = sys._getframe(2).f_locals.get("kwargs")
    return found if isinstance(found, dict) else {}
