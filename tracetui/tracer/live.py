"""A session whose model runs in a thread of its own. Importing this needs no torch: the thread does that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from tracetui.debugger.fault import ModelError
from tracetui.debugger.session import Event, Extended, Failed, Finished, Listener, Preparing, Preview, Started
from tracetui.errors import Cancelled, FileChangedError, TracetuiError, in_words, without_library
from tracetui.expr.edit import Edit
from tracetui.expr.edit_log import EditLog
from tracetui.expr.stop import Stop
from tracetui.formats.collector import collector_paused_for_good
from tracetui.logs import write_log
from tracetui.models.processors import processor_count
from tracetui.recipe import Prompts, Recipe
from tracetui.recipe.config_state import ConfigState
from tracetui.recording.stepping import Target
from tracetui.recording.trace import EMPTY_TRACE, Trace
from tracetui.text import visible
from tracetui.tracer.capture.allocator import keep_freed_memory
from tracetui.tracer.gate import Gate
from tracetui.tracer.gates import Gates
from tracetui.tracer.orders import AnswerQuestions, GatherRanks, Generate, Ordered, PreviewPrompts, Rerun, RunPrompts
from tracetui.tracer.questions import Questions, unforeseen

if TYPE_CHECKING:
    from tracetui.models.runnable import Runnable
    from tracetui.tracer.engine import Engine
    from tracetui.tracer.ranks.leading import Leading


@dataclass(frozen=True, eq=False, slots=True)
class CallerContext:
    """A model that exists already."""

    make: Callable[[], Runnable]
    """Makes it ready to run, on the model's thread."""
    context: Context
    """The caller's context variables."""
    leading: Leading | None = None
    """What the other ranks of the program follow."""


class LiveSession:
    """Runs prompts through a recipe's model; what happens arrives at the listener, on the model's thread."""

    def __init__(self, recipe: Recipe, listener: Listener, given: CallerContext | None = None) -> None:
        """given: a model that exists already, of which the recipe says only what is to be done with it."""
        self._recipe = recipe
        self._config = ConfigState(recipe)
        self._given = given
        self._leading = None if given is None else given.leading
        self.error: BaseException | None = None
        """What the model's own code raised in the last run."""
        self._listener = listener
        self._gates = Gates()
        self._runs = 0
        self._stops: tuple[Stop, ...] = ()
        self._edits = recipe.edits
        self._trace = EMPTY_TRACE
        self._ended: Finished | Failed | None = None
        """How the last run did."""
        self._orders: SimpleQueue[Ordered | PreviewPrompts | AnswerQuestions | GatherRanks | None] = SimpleQueue()
        self._questions = Questions(recipe, self._emit, lambda: self._engine)
        self._look: PreviewPrompts | None = None
        self._engine: Engine | None = None
        if given is None:
            keep_freed_memory()
        context = copy_context() if given is None else given.context
        self._thread = threading.Thread(target=context.run, args=(self._main,), name="model", daemon=True)
        self._thread.start()

    def start(self, prompts: Prompts, until: Target) -> int:
        """Run prompts, together, from their first token; a run in progress is cancelled first. Returns its number."""
        gate = self._begin(until)
        self._orders.put(RunPrompts(prompts, gate))
        return self._runs

    def preview(self, prompts: Prompts) -> None:
        """Have a Preview sent of prompts that are being typed, as soon as no run is under way; the newest counts."""
        self._look = PreviewPrompts(prompts)
        self._orders.put(self._look)

    def advance(self, until: Target) -> None:
        """Let a waiting model run on to the first new record that `until` accepts, or to the end."""
        self._gates.advance(until)

    def generate(self, count: int, until: Target) -> None:
        """Have a model whose run has ended, or as soon as it has, choose `count` more tokens, a pass each."""
        past = self._gates.newest
        gate = self._gate(until, past.edits, past.number)
        self._gates.put_behind(gate)
        self._orders.put(Generate(count, gate))

    def rerun(self, at: int, edits: tuple[Edit, ...], until: Target) -> int:
        """Run the last run again from the layer on in which its record `at` lies, with these edits. Returns its number.

        What lies before comes from the record, if it can, with the edits of then. A run in progress is left first.
        """
        self._edits = edits
        gate = self._begin(until)
        self._orders.put(Rerun(at, gate))
        return self._runs

    def _begin(self, until: Target) -> Gate:
        """The gate of a run that takes the place of all others."""
        self._runs += 1
        gate = self._gate(until, EditLog(self._edits), self._runs)
        self._gates.put_in_place(gate)
        return gate

    def _gate(self, until: Target, edits: EditLog, number: int) -> Gate:
        asked = (until, self._emit, self._questions.answer, self._stops)
        return Gate(*asked, edits=edits, number=number, meeting=self._leading)

    def stop_at(self, stops: tuple[Stop, ...]) -> None:
        """Have this run and later ones wait where one of these holds, instead of where the last ones held."""
        self._stops = stops
        self._gates.stop_at(stops)
        if self._leading is not None:
            self._leading.stop_at(stops)

    def edit(self, edits: tuple[Edit, ...], at: int) -> None:
        """Have this run changed by these edits from its record `at` on, and later ones from their beginning.

        A waiting model changes the record at which it waits, if that is `at`, when it goes on.
        """
        self._edits = edits
        if self._leading is None:
            self._gates.newest.edits.ask(edits, at)
        else:
            # On all ranks from the same record on.
            self._leading.edit(edits, at, self._runs)

    def pause(self) -> None:
        """Stop a running model at its next record."""
        self._gates.pause()

    def cancel(self) -> None:
        """Leave the run at its next record, or between two blocks of weights being made."""
        self._gates.cancel()

    def explain(self) -> None:
        """Have the configuration explained; an Explained event answers as soon as the model isn't at work."""
        self._questions.explain()
        self._orders.put(AnswerQuestions())
        self._gates.knock()

    def source(self, site: str) -> None:
        """Have the code behind a site looked up; a Sourced event answers as soon as the model isn't at work."""
        self._questions.source(site)
        self._orders.put(AnswerQuestions())
        self._gates.knock()

    @property
    def trace(self) -> Trace:
        """Of the last run."""
        return self._trace

    @property
    def output(self) -> Any:
        """What the model returned in the last run that called it in its own way."""
        return None if self._engine is None else self._engine.output

    def close(self, timeout: float | None) -> bool:
        """Cancel, release the weights and end the thread; False if it still ran after `timeout` seconds."""
        self._gates.cancel()
        self._orders.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _emit(self, event: Event) -> None:
        for each in [event] if self._leading is None else self._leading.heard(event, self._orders.put):
            if isinstance(each, Started | Extended | Finished | Failed) and each.trace is not EMPTY_TRACE:
                self._trace = each.trace
            if isinstance(each, Finished | Failed):
                self._ended = each
            self._listener(each)

    def _main(self) -> None:
        engine = self._prepare()
        try:
            while (order := self._orders.get()) is not None:
                engine = self._obey(order, engine)
        finally:
            if engine is not None:
                engine.close()

    def _obey(
        self, order: Ordered | PreviewPrompts | AnswerQuestions | GatherRanks, engine: Engine | None
    ) -> Engine | None:
        """Carry out one order; returns the engine, which a run makes if there is none."""
        if isinstance(order, AnswerQuestions):
            self._questions.answer()
        elif isinstance(order, GatherRanks):
            order.carry_out(self._trace)
        elif isinstance(order, PreviewPrompts):
            if order is self._look and engine is not None:
                self._preview(engine, order.prompts)
        elif order.gate.cancelled:
            self._gates.ended(order.gate)
            # Told only of the newest prompt: the others were cancelled by giving another.
            if order.gate is self._gates.newest:
                self._emit(self._left_before(order))
        else:
            changed: Sequence[Path] = ()
            # What ranks share is what they made of it together.
            if engine is not None and isinstance(order, RunPrompts) and self._leading is None:
                changed = engine.runnable.changed_files
                if changed or self._config.is_news:
                    engine.close()
                    engine = self._engine = None
            if (engine := engine or self._prepare(changed)) is not None:
                self._run(engine, order)
            self._gates.ended(order.gate)
        return engine

    def _left_before(self, order: Ordered) -> Finished | Failed:
        """The end of what was cancelled before it began; a run that was to go on is what it was."""
        if isinstance(order, Generate) and isinstance(self._ended, Failed):
            return self._ended
        if isinstance(order, Generate) and self._trace is not EMPTY_TRACE and self._trace.complete:
            return Finished(self._trace.closed(), number=order.gate.number)
        return Finished(EMPTY_TRACE, True, order.gate.number)

    def _prepare(self, changed: Sequence[Path] = ()) -> Engine | None:
        self._emit(Preparing("loading torch and transformers"))
        try:
            with collector_paused_for_good():
                import torch

                from tracetui.tracer.engine import Engine

            if self._leading is None:
                # One core is the screen's. With other ranks kernels have to cut their work alike on all of them.
                torch.set_num_threads(max(1, processor_count() - 1))
            self._emit(Preparing("building the model"))
            model = self._config.recipe(changed) if self._given is None else self._given.make()
            engine = self._engine = Engine(model, self._emit, goes_on=True)
        except BaseException as error:
            self._fail(error)
            return None
        self._emit(engine.prepared)
        return engine

    def _run(self, engine: Engine, order: Ordered) -> None:
        past = self._trace
        if self._leading is not None:
            self._leading.asks(order)
        if not isinstance(order, Generate):
            self._trace, self.error = EMPTY_TRACE, None
        try:
            trace = self._ran(engine, order)
        except Cancelled:
            began = self._trace is not EMPTY_TRACE
            self._emit(Finished(self._trace.closed() if began else EMPTY_TRACE, True, order.gate.number))
        except BaseException as error:
            self._fail(error, order.gate.number)
        else:
            self._emit(Finished(trace, number=order.gate.number))
        if self._trace is EMPTY_TRACE:
            # Nothing has come in the place of what is on view.
            self._trace = past

    @staticmethod
    def _ran(engine: Engine, order: Ordered) -> Trace:
        if isinstance(order, Generate):
            return engine.generate(order.count, order.gate)
        if isinstance(order, Rerun):
            # With others it is taken up from its beginning: what is on view may be the records of all ranks.
            return engine.rerun(0 if order.gate.why_whole else order.at, order.gate)
        return engine.run(order.prompts, order.gate)

    def _preview(self, engine: Engine, prompts: Prompts) -> None:
        try:
            self._emit(engine.preview(prompts))
        except BaseException as error:
            self._emit(Preview(prompts, problem=unforeseen("prompt", error)))

    def _fail(self, error: BaseException, number: int = 0) -> None:
        if isinstance(error, ModelError):
            self.error = error.__cause__
            log = write_log("run", error.__cause__ or error)
            self._emit(Failed(visible(str(error), 700), log, error.fault, error.trace, number))
            return
        if isinstance(error, FileChangedError):
            error = FileChangedError(error.path, "r runs it again")
        if isinstance(told := without_library(error) or error, TracetuiError):
            self._emit(Failed(str(told), number=number))
            return
        self._emit(Failed(visible(in_words(error), 500), write_log("run", error), number=number))
