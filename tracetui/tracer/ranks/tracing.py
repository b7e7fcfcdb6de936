"""A recipe's model traced by all ranks of a program: what each of them does, and what they agree on first."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import torch.distributed as dist

from tracetui.debugger.session import Event, Preparing
from tracetui.errors import InputError, TracetuiError
from tracetui.expr.edit_log import EditLog
from tracetui.expr.stop import Stop
from tracetui.models.ranks.spread import Sizes, spread_model
from tracetui.models.ranks.standing import StandingWeights
from tracetui.models.runnable import Runnable
from tracetui.recipe import Prompts, Recipe
from tracetui.recording.trace import Trace
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.ranks.joining import joined
from tracetui.tracer.ranks.together import Ranks, ranks_for, wait_until

_LONGEST = timedelta(hours=2)
"""That one rank may wait for another, which reads its weights."""


class TracingRanks:
    """All ranks of one command."""

    def __init__(self, sizes: Sizes) -> None:
        """Joins the others. Raises RunError where they aren't found."""
        self.sizes = sizes
        if os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE"):
            # On one machine: what its name stands for elsewhere doesn't matter.
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        if not dist.is_initialized():
            joined(partial(dist.init_process_group, "gloo", timeout=_LONGEST))
        ranks = ranks_for("tracetui")
        assert ranks is not None
        self.ranks: Ranks = ranks
        self.rank = ranks.rank

    def trace(self, recipe: Recipe, emit: Callable[[Event], None], stops: Sequence[Stop]) -> Trace:
        """What this rank records. Raises InputError on all ranks for what is wrong on one of them."""
        engine = self._made(recipe, emit, recipe.prompts)
        try:
            gate = Gate(emit=emit, stops=stops, waits=False, edits=EditLog(recipe.edits))
            return engine.run(recipe.prompts, gate)
        finally:
            engine.close()

    def made(self, recipe: Recipe, emit: Callable[[Event], None]) -> Runnable:
        """The model with this rank's part of its weights, for prompts that come later. Raises InputError as well."""
        return self._made(recipe, emit, None).runnable

    def _made(self, recipe: Recipe, emit: Callable[[Event], None], prompts: Prompts | None) -> Engine:
        engine: Engine = self.together(lambda: self._engine(recipe, emit, prompts))
        weights = engine.runnable.weights
        assert isinstance(weights, StandingWeights)
        emit(Preparing("making this rank's part of the weights"))
        weights.make()
        self.ranks.gather()
        return engine

    def _engine(self, recipe: Recipe, emit: Callable[[Event], None], prompts: Prompts | None) -> Engine:
        """Ready to run, and everything known that may forbid it, before any weight is in memory."""
        if recipe.factory is not None:
            raise InputError(f"{recipe.name}: a model that is given as code is spread over ranks by that code")
        if self.sizes.pipeline > 1 and recipe.lens:
            raise InputError("--lens: not with --pp: the norm and lm_head that it reads by are on the last stage alone")
        engine = Engine(spread_model(recipe, self.sizes, self._is_same), emit)
        lengths = [1] if prompts is None else [len(row.tokens) for row in engine.encode(prompts)]
        engine.plan(max(lengths, default=0), len(lengths), 0 if prompts is None else recipe.generation.count)
        if prompts is not None:
            emit(engine.prepared)
        return engine

    def _is_same(self, number: int) -> bool:
        most, least = self.ranks.most([number, -number])
        return most == -least

    def together(self, work: Callable[[], Any]) -> Any:
        """What a function returns on this rank, once it has worked on all; else all end."""
        problem, status, made = "", 0, None
        try:
            made = work()
        except TracetuiError as error:
            problem, status = str(error), error.exit_code
        failed = [(rank, *each) for rank, each in enumerate(self.ranks.all_say([problem, status])) if each[1]]
        if not failed:
            return made
        rank, problem, status = failed[0]
        told = problem if len(failed) == self.ranks.world else f"rank {rank}: {problem}"
        refusal = InputError(told)
        refusal.exit_code = status
        raise refusal

    def last(self) -> None:
        """All have come to their end: the first rank, which holds the store, waits for the others."""
        self.ranks.write(f"ended/{self.rank}", "")
        wait_until(lambda: all(self.ranks.read(f"ended/{rank}") is not None for rank in range(self.ranks.world)), 60)
