"""Running prompts through one recipe's model, under watch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from tracetui import __version__
from tracetui.analysis.matrices import ATTENTION
from tracetui.analysis.memory import MemoryPlan
from tracetui.errors import InputError, TracetuiError
from tracetui.expr.matrices import any_steps
from tracetui.models import plan as memory
from tracetui.models.exact import InFloat64
from tracetui.models.runnable import Runnable, make_runnable
from tracetui.recipe import Prompts, Recipe
from tracetui.session import Event, Extended, ModelError, Prepared, Preview, Progress, PromptRow, Started, Tallied
from tracetui.trace.record import Token
from tracetui.trace.trace import RunInfo, Trace
from tracetui.trace.value import Value
from tracetui.tracer.absorbed import check_mla
from tracetui.tracer.allocator import give_back_memory, settle
from tracetui.tracer.decoding import Decoder, check_lengths
from tracetui.tracer.edits import Editor
from tracetui.tracer.fault import Place, fault_of, raised_at
from tracetui.tracer.gate import NOTICE_SECONDS, Gate
from tracetui.tracer.generating import GeneratingRun
from tracetui.tracer.mla import Latents
from tracetui.tracer.padding import padded
from tracetui.tracer.recorder import Recorder
from tracetui.tracer.store import Store
from tracetui.tracer.watch import Watch

PREDICTIONS = 100
"""Tokens whose text a trace carries with its logits."""

_LARGE = 2**24
"""Bytes of a tensor whose beginning and end are always told."""

Emit = Callable[[Event], None]


class Engine:
    """A model ready for prompts. Lives on one thread."""

    def __init__(
        self,
        model: Recipe | Runnable,
        emit: Emit = lambda event: None,
        goes_on: bool = False,
        exact: bool = False,
    ) -> None:
        """model: a recipe, whose model is built, or what is ready to run already.

        goes_on: a run that has ended keeps the model's cache, so that `generate` can go on with it.

        exact: everything in float64, from the weights as the recipe's own dtype rounds them.
        """
        self._emit = emit
        self._goes_on = goes_on
        self._held: GeneratingRun | None = None
        self._arithmetic: Callable[[], AbstractContextManager[object]] = InFloat64 if exact else nullcontext
        self.raised: Mapping[str, Sequence[Place]] = {}
        """Where each module was in its code when the last run failed, by path."""
        self.output: Any = None
        """What the model returned in the last run that called it in its own way."""
        self.runnable = make_runnable(model, exact) if isinstance(model, Recipe) else model
        check_mla(self.runnable.built.module, self.runnable.recipe)
        if isinstance(model, Recipe):
            # The process is ours then.
            settle()
        self._base = memory.own_bytes()
        offered = self.preview(self.runnable.recipe.prompts)
        self.prepared = Prepared(
            self.runnable.outline(),
            self.runnable.tokenizer.name,
            self.runnable.notes,
            self._planned(max((len(row.tokens) for row in offered.rows), default=1), len(offered.rows) or 1),
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
        wanted = self.runnable.recipe.generation
        if wanted.count:
            check_lengths(tuple(map(len, tokens)))
        steps = any_steps(gate.stops, gate.edits.edits)
        plan = self.plan(max(map(len, tokens), default=0), len(tokens), wanted.count, steps)
        named = partial(self._name_predictions, tuple(map(len, tokens)))
        run_info = self._run_info(prompts, gate)
        gate.edits.changed = partial(_keep_edits, run_info)
        recorder = Recorder(run_info, tokens, gate.arrived, named, **self._recording(plan))
        self._emit(Started(recorder.trace, plan))
        if (call := self.runnable.call(prompts)) is not None:
            with self._watching(recorder, gate):
                output = call()
            self.output = output
            return recorder.finished()
        input_ids, mask = padded(tokens, self._pad, self.runnable.device)  # [B,T]
        masked = {} if mask is None else {"attention_mask": mask}
        if not wanted.count and (mask is not None or not self._goes_on):
            with self._watching(recorder, gate):
                self.runnable.built.module(input_ids=input_ids, use_cache=False, **masked)
            return recorder.finished()
        run = self._generating(Decoder(self.runnable.built.module, input_ids), recorder)
        with self._watching(recorder, gate, run.latents):
            run.prompt()
            run.generate(wanted.count)
        self._held = run if self._goes_on else None
        return recorder.finished()

    def generate(self, count: int, gate: Gate) -> Trace:
        """Go on with the run that ended last; returns its trace, which has become longer.

        Raises InputError if there is none that can go on, and else what `run` raises.
        """
        run = self._held
        if run is None:
            raise InputError(
                "generate: there is no run to go on with: its prompts differ in length, or it was left before its end"
            )
        run.check()
        recorder = run.recorder
        steps = any_steps(gate.stops, gate.edits.edits)
        self.plan(run.positions, len(recorder.trace.tokens), run.passes(count) + 1, steps)
        self._held = None
        recorder.resume(gate.arrived)
        self._emit(Extended(recorder.trace))
        with self._watching(recorder, gate, run.latents):
            run.generate(count)
        self._held = run
        return recorder.finished()

    def _generating(self, decoder: Decoder, recorder: Recorder) -> GeneratingRun:
        wanted, eos = self.runnable.recipe.generation, getattr(self.runnable.built.config, "eos_token_id", None)
        return GeneratingRun(decoder, recorder, wanted, eos, self.runnable.tokenizer.token, self._emit)

    @contextmanager
    def _watching(self, recorder: Recorder, gate: Gate, latents: Latents | None = None) -> Iterator[None]:
        gate.begin(recorder.trace)
        editor = Editor(recorder, lambda: gate.edits.edits)
        with (
            self.runnable.surroundings(),
            self._arithmetic(),
            Watch(
                self.runnable.built.module,
                recorder,
                weights=self.runnable.weights,
                making=self._making(gate),
                waited=lambda: gate.waited,
                absorb=self._absorbs,
                latents=latents,
                lens=self.runnable.recipe.lens,
                token=self.runnable.tokenizer.token,
                editor=editor,
                stops=lambda: gate.stops,
            ) as watch,
            self._failing(watch, recorder),
        ):
            yield
        if gate.tallies or editor.tallies:
            self._emit(Tallied(gate.tallies, editor.tallies))

    @contextmanager
    def _failing(self, watch: Watch, recorder: Recorder) -> Iterator[None]:
        """Of an error that the model's own code raises, find out where; raises ModelError from it."""
        self.raised = {}
        try:
            yield
        except TracetuiError:
            raise
        except Exception as error:
            # Nobody waits at the inputs of a module that has failed.
            recorder.resume(lambda record: None)
            module = self.runnable.built.module
            self.raised = raised_at(module, watch.running, error)
            fault = fault_of(module, watch.running, recorder, error)
            raise ModelError(fault, recorder.failed(str(fault))) from error

    def _recording(self, plan: MemoryPlan) -> dict[str, Any]:
        """What the recorder keeps, and where: half of the memory that the run itself leaves, unless somebody said."""
        recipe = self.runnable.recipe
        left = (plan.available - plan.weights - plan.working) // 2
        return {
            "outline": self.prepared.outline,
            "keep": recipe.keep,
            "store": Store(recipe.room, max(0, left)),
            "matrices": ATTENTION[recipe.attention],
        }

    def plan(self, tokens: int, rows: int = 1, new: int = 0, steps: bool = False) -> MemoryPlan:
        """The memory that `rows` prompts need, the longest of so many tokens, with `new` ones that the model chooses.

        steps: some layer's attention is computed step by step.

        Raises InputError if it isn't there, or if the model has not so many positions.
        """
        self.runnable.reader.check_length(tokens + max(0, new - 1))
        found = self._planned(tokens, rows, new, steps)
        memory.check(found, held=memory.own_bytes() - self._base)
        return found

    def _planned(self, tokens: int, rows: int, new: int = 0, steps: bool = False) -> MemoryPlan:
        return self.runnable.plan(self._base, tokens, rows, new, steps)

    @property
    def _absorbs(self) -> bool:
        """Whether latent attention is computed from its latent."""
        return self.runnable.recipe.mla == "absorb"

    @property
    def _pad(self) -> int:
        """The id that stands where a row has no token; which one doesn't matter, nothing looks there."""
        config = self.runnable.built.config
        said = getattr(config, "pad_token_id", None)
        return said if isinstance(said, int) and 0 <= said < config.vocab_size else 0

    def close(self) -> None:
        """Drop all weights."""
        self._held = None
        self.runnable.weights.clear()
        give_back_memory()

    def _making(self, gate: Gate) -> Callable[[str, int, int], None]:
        """Looks for a cancelled run at every block, and tells of the large tensors a few times a second."""
        next_notice = 0.0

        def making(name: str, done: int, total: int) -> None:
            nonlocal next_notice
            gate.check()
            now = time.perf_counter()
            if now >= next_notice or (total >= _LARGE and done in (0, total)):
                next_notice = now + NOTICE_SECONDS
                self._emit(Progress(name, done, total))

        return making

    def _run_info(self, prompts: Prompts, gate: Gate) -> RunInfo:
        import transformers

        recipe = self.runnable.recipe
        ran = replace(recipe, prompts=prompts, edits=gate.edits.edits)
        told, config = self.runnable.described(ran)
        return RunInfo(
            model=recipe.name,
            recipe=told,
            config=config,
            tokenizer=self.runnable.tokenizer.name,
            versions={
                "tracetui": __version__,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "numpy": np.__version__,
                "python": ".".join(map(str, sys.version_info[:3])),
            },
            notes=self.runnable.notes,
            started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )

    def _name_predictions(self, lengths: Sequence[int], value: Value) -> dict[int, Token]:
        """The tokens that the best logits [B,T,V] at each row's last token stand for."""
        if len(value.shape) != 3:
            return {}
        found: set[int] = set()
        for row, length in enumerate(lengths):
            logits = torch.from_numpy(value.read((row, min(length, value.shape[1]) - 1)))  # [V]
            best = torch.topk(logits.nan_to_num(-torch.inf), min(PREDICTIONS, logits.numel())).indices  # [k]
            found.update(best.tolist())
        return {token_id: self.runnable.tokenizer.token(token_id) for token_id in sorted(found)}


def _keep_edits(run: RunInfo, plain: list[str]) -> None:
    """What was changed while a run waited belongs to what it takes to do the same again."""
    if isinstance(run.recipe, dict):
        run.recipe["edits"] = plain
