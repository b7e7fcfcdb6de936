"""Running prompts through one recipe's model, under watch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from tracetui import __version__
from tracetui.errors import InputError
from tracetui.models import plan as memory
from tracetui.models.outline import outline_of
from tracetui.models.runnable import Runnable, make_runnable
from tracetui.models.tokenizers import check_ids
from tracetui.recipe import Recipe
from tracetui.session import Event, MemoryPlan, Prepared, Progress, Started
from tracetui.trace.record import Token
from tracetui.trace.trace import RunInfo, Trace
from tracetui.trace.value import Value
from tracetui.tracer.allocator import give_back_memory, settle
from tracetui.tracer.gate import NOTICE_SECONDS, Gate
from tracetui.tracer.recorder import Recorder
from tracetui.tracer.watch import Watch

PREDICTIONS = 100
"""Tokens whose text a trace carries with its logits."""

_LARGE = 2**24
"""Bytes of a tensor whose beginning and end are always told."""

Emit = Callable[[Event], None]


class Engine:
    """A recipe's model, ready for prompts. Lives on one thread."""

    def __init__(self, recipe: Recipe, emit: Emit = lambda event: None) -> None:
        self._emit = emit
        self.runnable: Runnable = make_runnable(recipe)
        settle()
        self._base = memory.own_bytes()
        self.prepared = Prepared(
            outline_of(recipe, self.runnable.built),
            self.runnable.tokenizer.name,
            self.runnable.notes,
            self._planned(self._offered_length()),
        )

    def encode(self, prompt: str) -> list[Token]:
        """The tokens of a prompt, the one that begins a text before them. Raises InputError if it is empty."""
        if not prompt:
            raise InputError("prompt: is empty; type some text")
        return self.runnable.tokenizer.encode(prompt)

    def run(self, tokens: Sequence[Token], prompt: str, gate: Gate) -> Trace:
        """One pass over a prompt; returns when it ends.

        Raises InputError for ids beyond the vocabulary and for a run that can't fit in memory, Cancelled, and
        whatever the model raises. What was recorded until then stays with the trace of the Started event.
        """
        self._check(tokens)
        plan = self.plan(len(tokens))
        recorder = Recorder(self._run_info(prompt), (tuple(tokens),), gate.arrived, self._name_predictions)
        self._emit(Started(recorder.trace, plan))
        input_ids = torch.tensor([[token.id for token in tokens]])  # [B,T]
        model = self.runnable.built.module
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            Watch(
                model, recorder, weights=self.runnable.weights, making=self._making(gate), waited=lambda: gate.waited
            ),
        ):
            model(input_ids=input_ids, use_cache=False)
        return recorder.finished()

    def plan(self, tokens: int) -> MemoryPlan:
        """The memory that a prompt of so many tokens needs. Raises InputError if the machine hasn't that much."""
        found = self._planned(tokens)
        memory.check(found, held=memory.own_bytes() - self._base)
        return found

    def _planned(self, tokens: int) -> MemoryPlan:
        built = self.runnable.built
        return memory.plan_run(built.module, self.runnable.weights, built.dtype.itemsize, tokens, self._base)

    def _offered_length(self) -> int:
        """Tokens of the recipe's own prompt; one where it can't be tokenised, which the run will say."""
        try:
            return max(1, len(self.runnable.tokenizer.encode(self.runnable.recipe.prompt)))
        except InputError:
            return 1

    def close(self) -> None:
        """Drop all weights."""
        self.runnable.weights.clear()
        give_back_memory()

    def _check(self, tokens: Sequence[Token]) -> None:
        config = self.runnable.built.config
        if not tokens:
            raise InputError("prompt: has no tokens")
        check_ids([token.id for token in tokens], config.vocab_size)
        longest = getattr(config, "max_position_embeddings", None)
        if longest and len(tokens) > longest:
            raise InputError(f"prompt: has {len(tokens):,} tokens, and the model takes at most {longest:,}")

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

    def _run_info(self, prompt: str) -> RunInfo:
        import transformers

        recipe = self.runnable.recipe
        return RunInfo(
            model=recipe.name,
            recipe={**recipe.plain(), "prompt": prompt, "dtype": str(self.runnable.built.dtype).removeprefix("torch.")},
            config=dict(recipe.config),
            tokenizer=self.runnable.tokenizer.name,
            versions={
                "tracetui": __version__,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "numpy": np.__version__,
                "python": ".".join(map(str, sys.version_info[:3])),
            },
            notes=self.runnable.notes,
        )

    def _name_predictions(self, value: Value) -> dict[int, Token]:
        """The tokens that the best logits [B,T,V] at the last position stand for."""
        if len(value.shape) != 3:
            return {}
        logits = torch.from_numpy(value.read((0, value.shape[1] - 1)))  # [V]
        best = torch.topk(logits.nan_to_num(-torch.inf), min(PREDICTIONS, logits.numel())).indices  # [k]
        return {token_id: self.runnable.tokenizer.token(token_id) for token_id in best.tolist()}
