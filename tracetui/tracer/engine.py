"""Running prompts through one recipe's model, under watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from tracetui.analysis.memory import MemoryPlan
from tracetui.debugger.session import (
    Event,
    Extended,
    Prepared,
    Preview,
    PromptRow,
    Started,
    Tallied,
)
from tracetui.errors import InputError
from tracetui.expr.matrices import any_steps
from tracetui.models.devices.memory import give_back
from tracetui.models.factory import runnable_of
from tracetui.models.memory import plan as memory
from tracetui.models.module_tree import KnownModel
from tracetui.models.runnable import Runnable
from tracetui.models.weights.available_memory import available_bytes, own_bytes
from tracetui.models.weights.exact import InFloat64
from tracetui.recipe import Prompts, Recipe
from tracetui.recording.cut import FROM_THE_START, Cut
from tracetui.recording.keep import ATTENTION
from tracetui.recording.record import Token
from tracetui.recording.trace import Trace
from tracetui.tracer.attention.absorbed import check_mla
from tracetui.tracer.capture.allocator import settle
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.capture.store import ValueStore
from tracetui.tracer.edits import Editor
from tracetui.tracer.gate import Gate
from tracetui.tracer.generation.decoding import check_lengths
from tracetui.tracer.generation.generating import GeneratingRun, PromptRun
from tracetui.tracer.generation.passes import passes_of
from tracetui.tracer.hooks.model_hooks import ModelHooks
from tracetui.tracer.hooks.module_state import ModuleState
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.model_errors import Places, model_errors
from tracetui.tracer.predicted_tokens import KnownTokens, predicted_tokens
from tracetui.tracer.replay.layer_outputs import LayerOutputs
from tracetui.tracer.replay.replay_recorder import ReplayRecorder
from tracetui.tracer.replay.rerun import PastRun, WatchedPasses, cut_of, run_passes
from tracetui.tracer.run_info import keep_edits, run_info_of
from tracetui.tracer.weights_told import weights_told

Emit = Callable[[Event], None]


class Engine:
    """A model ready for prompts. Lives on one thread."""

    def __init__(
        self,
        model: Recipe | Runnable,
        emit: Emit = lambda event: None,
        goes_on: bool = False,
        exact: bool = False,
        layers_alone: bool = False,
    ) -> None:
        """model: a recipe, whose model is built, or what is ready to run already.

        goes_on: a run that has ended keeps the model's cache, so that `generate` can go on with it.
        exact: everything in float64, from the weights as the recipe's own dtype rounds them.
        layers_alone: nothing but what layers and the model return is recorded, unless somebody edits.
        """
        self._emit = emit
        self._goes_on, self._layers_alone = goes_on, layers_alone
        self._held: PastRun | None = None
        self._past: PastRun | None = None
        self._arithmetic: Callable[[], AbstractContextManager[object]] = InFloat64 if exact else nullcontext
        self.raised: Places = {}
        """Where each module was in its code when the last run failed, by path."""
        self.output: Any = None
        """What the model returned in the last run that called it in its own way."""
        self.runnable = runnable_of(model, exact) if isinstance(model, Recipe) else model
        check_mla(self.runnable.built.module, self.runnable.recipe)
        self._known: KnownModel | None = None
        self._state = ModuleState(self.runnable.built.module)
        if isinstance(model, Recipe):
            # The process is ours then.
            settle()
        self._base = own_bytes()
        offered = self.preview(self.runnable.recipe.prompts)
        longest = max((len(row.tokens) for row in offered.rows), default=1)
        self.prepared = Prepared(
            self.runnable.outline(),
            self.runnable.tokenizer.name,
            self.runnable.notes,
            self.runnable.plan(self._base, longest, len(offered.rows) or 1, 0),
            offered,
        )

    def encode(self, prompts: Prompts) -> tuple[PromptRow, ...]:
        """The tokens of every prompt. Raises InputError for what the model can't take."""
        return self.runnable.reader.read(prompts)

    def preview(self, prompts: Prompts) -> Preview:
        """What the prompts would be, or why they can't be run."""
        try:
            return Preview(prompts, self.encode(prompts))
        except InputError as error:
            return Preview(prompts, problem=str(error))

    def run(self, prompts: Prompts, gate: Gate) -> Trace:
        """One pass over prompts, and one more for each further token that the recipe wants but the last.

        Raises InputError for prompts that the model can't take and for a run that can't fit in memory, Cancelled,
        and ModelError. What was recorded until then stays with the trace of the Started event.
        """
        tokens = tuple(row.tokens for row in self.encode(prompts))
        self._held = self.output = None
        return self._run(self._begun(prompts, tokens, self.runnable.recipe.generation.count, gate), gate)

    def rerun(self, at: int, gate: Gate) -> Trace:
        """The last run again, with the gate's edits from the layer on in which its record `at` lies.

        What lies before comes from the record, where that can be. Raises InputError if there is no such run or record,
        and else what `run` raises.
        """
        past = self._past
        if past is None:
            raise InputError("there is no run to take up again; run a prompt first")
        cut = cut_of(past, at, self.runnable.built.module, gate.why_whole or self._state.changed())
        gate.edits.take_up(past.edits, cut.record)
        gate.quiet_until = cut.record
        self._held = self.output = None
        return self._run(self._begun(past.prompts, past.tokens, past.wanted, gate, cut, past), gate)

    def _begun(
        self,
        prompts: Prompts,
        tokens: tuple[tuple[Token, ...], ...],
        count: int,
        gate: Gate,
        cut: Cut = FROM_THE_START,
        past: PastRun | None = None,
    ) -> PastRun:
        """A run before its first pass, with what it takes over from the last one; listeners are notified."""
        lengths = tuple(map(len, tokens))
        if count:
            check_lengths(lengths)
        self.runnable.check_files()
        steps = any_steps(gate.stops, gate.edits.edits)
        if past is None or past.steps != steps:
            plan = self.plan(max(lengths, default=0), len(tokens), count, steps)
        else:
            plan = self._checked(replace(past.plan, available=available_bytes()))
        run_info = run_info_of(self.runnable, self._known_now(), prompts, gate.edits.edits)
        gate.edits.changed = partial(keep_edits, run_info)
        grows: Callable[..., Recorder] = Recorder
        if past is not None and not cut.whole:
            grows = partial(ReplayRecorder, past.recorder, cut, self.runnable.device)
        recorder = grows(
            run_info,
            tokens,
            gate.arrived,
            partial(predicted_tokens, KnownTokens(self.runnable.tokenizer), lengths),
            **self._recording(plan),
        )
        recorder.reads(self.runnable.prints())
        log = gate.edits
        editor, ledger = Editor(recorder, log, self._emit), LayerOutputs()
        if past is not None and not cut.whole:
            editor.carry(past.editor, cut.record)
            ledger.carry(past.ledger, cut.layers, cut.pass_)
            passes = past.passes.again(cut, recorder, ledger)
        else:
            if self.runnable.call(prompts) is None:
                # What a user's own call leaves in the modules is theirs.
                self._state.begin()
            passes = passes_of(self.runnable, prompts, tokens, count, self._goes_on, recorder, self._emit)
        self._past = PastRun(prompts, tokens, recorder, editor, log, passes, ledger, plan, steps, count, cut)
        self._emit(Started(recorder.trace, plan, cut, gate.number))
        return self._past

    def _run(self, run: PastRun, gate: Gate) -> Trace:
        with self._watching(run, gate, run.cut.taken) as watch:
            run_passes(run, self.runnable.built.module, watch)
        if isinstance(run.passes, PromptRun):
            self.output = run.passes.output
        if isinstance(run.passes, GeneratingRun) and self._goes_on:
            self._held = run
        return run.recorder.finished(run.editor.notes)

    def generate(self, count: int, gate: Gate) -> Trace:
        """Go on with the run that ended last; returns its trace, which has become longer.

        Raises InputError if there is none that can go on, and else what `run` raises.
        """
        run = self._held
        if run is None or not isinstance(run.passes, GeneratingRun):
            raise InputError(
                "generate: there is no run to go on with: its prompts differ in length, or it was left before its end"
            )
        run.passes.check()
        self.runnable.check_files()
        steps = any_steps(gate.stops, gate.edits.edits)
        self.plan(run.passes.positions, len(run.tokens), run.passes.passes(count) + 1, steps)
        self._held = None
        run.recorder.resume(gate.arrived)
        run.wanted += count
        self._emit(Extended(run.recorder.trace))
        with self._watching(run, gate) as watch, watch():
            run.passes.generate(count)
        self._held = run
        return run.recorder.finished(run.editor.notes)

    @contextmanager
    def _watching(self, run: PastRun, gate: Gate, taken: int = 0) -> Iterator[WatchedPasses]:
        """Gives what watches the model for the length of a `with`; `taken` records were there before."""
        gate.begin(run.recorder.trace, taken)
        gate.went_on = self.runnable.check_files
        try:
            # Looked at before anything stands in for layers.
            yield partial(self._watched, run, gate, self._known_now())
        finally:
            self._state.end()
        if gate.tallies or run.editor.tallies:
            self._emit(Tallied(gate.tallies, run.editor.tallies))

    @contextmanager
    def _watched(
        self, run: PastRun, gate: Gate, known: KnownModel, stubs: Mapping[str, nn.Module] | None = None
    ) -> Iterator[None]:
        """stubs: what stands for layers now."""
        model = self.runnable.built.module
        watched = Pass(
            run.recorder,
            run.editor,
            gate,
            weights=self.runnable.weights,
            making=weights_told(gate, self._emit),
            latents=run.passes.latents,
            absorb=self.runnable.recipe.mla == "absorb",
            lens=self.runnable.recipe.lens,
            token=self.runnable.tokenizer.token,
            is_read_later=not gate.waits and not self._goes_on,
            looks_late=not gate.waits,
            layers_alone=self._layers_alone,
        )
        with (
            run.ledger.watched(model, run.recorder) if self._goes_on else nullcontext(),
            self.runnable.surroundings(),
            self._arithmetic(),
            ModelHooks(model, watched, known.with_others(stubs) if stubs else known) as watch,
            model_errors(model, run.recorder, run.editor, watch) as self.raised,
        ):
            yield

    def _known_now(self) -> KnownModel:
        """The model as it is built; which weights stand in it now is no matter where they are put in and taken out."""
        if self._known is None or not self._known.fingerprint.fits_but_for_tensors:
            self._known = KnownModel(self.runnable.built.module)
        return self._known

    def _recording(self, plan: MemoryPlan) -> dict[str, Any]:
        """What the recorder keeps, and where: half of the memory that the run itself leaves, unless somebody said."""
        recipe = self.runnable.recipe
        left = (plan.available - plan.weights - plan.at_work) // 2
        return {
            "outline": self.prepared.outline,
            "keep": recipe.keep,
            "store": ValueStore(recipe.room, max(0, left), plan.on_device is None or plan.on_device.holds_pass),
            "matrices": ATTENTION[recipe.attention],
        }

    def plan(self, tokens: int, rows: int = 1, new: int = 0, steps: bool = False) -> MemoryPlan:
        """The memory that `rows` prompts need, the longest of so many tokens, with `new` ones that the model chooses.

        steps: some layer's attention is computed step by step.
        Raises InputError if it isn't there, or if the model has not so many positions.
        """
        self.runnable.reader.check_length(tokens + max(0, new - 1))
        return self._checked(self.runnable.plan(self._base, tokens, rows, new, steps))

    def _checked(self, plan: MemoryPlan) -> MemoryPlan:
        memory.check(plan, held=own_bytes() - self._base)
        return plan

    def close(self) -> None:
        """Drop all weights."""
        self._held = self._past = None
        self.runnable.weights.clear()
        give_back(self.runnable.device)
