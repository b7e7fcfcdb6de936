"""What the experts of a layer leave in the trace: the choice, how it came about, and each expert's input and output."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tracetui.models.ranks.cuts import ExpertCuts, experts_of
from tracetui.models.ranks.local import local_tensor
from tracetui.models.weights.experts import (
    CHOICE,
    ExpertWeights,
    classes_count,
    expert_count,
    is_handed_choices,
    is_router,
    runs_singly,
)
from tracetui.recording.parallel import MIXED_TOKENS
from tracetui.recording.record import BadWeight
from tracetui.tracer.hooks.bad_weights import bad_among, is_spoilt, with_kinds
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.observer import Choice
from tracetui.tracer.ranks.dispatch import Dispatch
from tracetui.tracer.routing.one_by_one import experts_observed
from tracetui.tracer.routing.router_choice import choice_of
from tracetui.tracer.routing.routers import RouterValues, Seen, bias_of, explain, has_scores
from tracetui.tracer.routing.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class ExpertWatch:
    """Records routing and experts of a watched model."""

    def __init__(self, watched: Pass) -> None:
        self._frames = watched.frames
        self._recorder = watched.recorder
        self._editor = watched.editor
        self._store = watched.weights
        self._making = watched.making
        self._clock = watched.clock
        self._holders: dict[nn.Module, str] = {}
        """The paths of experts that run one by one."""
        self._blocks: dict[str, tuple[str, int]] = {}
        """By the path of a module that runs beside experts: the block around both, and how many they are."""
        self._owners: dict[str, nn.Module] = {}
        """By its path, the block around experts: it may hold what its router is given."""
        self._seen: dict[str, list[Seen]] = {}
        self._started = 0.0
        self._weights: ExpertWeights = {}
        """Of the expert that runs, where they don't stand in its module."""
        self._cuts: Mapping[str, ExpertCuts] = {}
        """By the path of a module of experts: those of several ranks."""
        self._dispatched = Dispatch()
        self._handed: Mapping[str, nn.Module] = {}
        """By their paths, experts that run as one module and are handed the choice."""
        self._alone: Mapping[str, str] = {}
        """By the path of a router whose choice shows in nothing but what it returns: the block around it."""

    @contextmanager
    def watched(self, modules: Mapping[str, nn.Module]) -> Iterator[None]:
        """Look at the experts among a model's modules, by their paths, for the length of a `with`."""
        holders = {path: module for path, module in modules.items() if runs_singly(module)}
        self._holders = {module: path for path, module in holders.items()}
        cuts = ((path, experts_of(module)) for path, module in holders.items())
        self._cuts = {path: cut for path, cut in cuts if cut is not None and cut.here < cut.count}
        self._handed = {path: module for path, module in modules.items() if is_handed_choices(module)}
        for path, module in (*holders.items(), *self._handed.items()):
            block = path.rpartition(".")[0]
            self._owners[block] = modules[block]
            count = self._count(path, module) if path in holders else classes_count(module)
            inside = (name for name, _ in self._owners[block].named_modules(prefix=block) if name != block)
            self._blocks.update((name, (block, count)) for name in inside if not _within(name, path))
        alone = (path for path, module in modules.items() if path not in self._blocks and is_router(module))
        self._alone = {path: path.rpartition(".")[0] for path in alone}
        self._owners.update((block, modules[block]) for block in self._alone.values())
        try:
            with experts_observed(holders.values()):
                yield
        finally:
            self._seen.clear()
            self._blocks, self._owners, self._handed, self._alone, self._cuts = {}, {}, {}, {}, {}
            self._holders = {}

    def module_out(self, path: str, module: nn.Module, output: object) -> None:
        """Called after a module ran, with its weights in memory: if it may be a router, keep its output."""
        if path in self._blocks:
            block, count = self._blocks[path]
            bias = bias_of(module)
            if bias is not None or has_scores(output, count):
                self._seen.setdefault(block, []).append(Seen(module, output, bias))
        elif path in self._alone:
            self._seen.setdefault(self._alone[path], []).append(Seen(module, output, bias_of(module)))

    def is_handed_choices(self, path: str) -> bool:
        """Whether the module at a path is experts that run as one."""
        return path in self._handed

    def is_dispatched(self, path: str) -> bool:
        """Whether the module at a path is experts of which others are on other ranks."""
        return path in self._cuts

    def dispatched(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Experts of several ranks are about to run: keep the choice among all of them that they are handed."""
        self._dispatched = Dispatch.of(module, args, kwargs, self._cuts[path])

    def _count(self, path: str, module: nn.Module) -> int:
        """Those of all ranks."""
        return self._cuts[path].count if path in self._cuts else expert_count(module)

    def is_alone(self, path: str) -> bool:
        """Whether a router's choice shows in nothing but what it returns."""
        return path in self._alone

    def may_route(self, path: str) -> bool:
        """Whether what the module at a path returns may be a router's scores or choice."""
        return path in self._blocks or path in self._alone

    def entered(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Experts that run as one are about to: record the choice that they are handed."""
        given = inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments
        experts, weights = (given.get(name) for name in CHOICE)  # [N,A] [N,A]
        if isinstance(experts, torch.Tensor) and isinstance(weights, torch.Tensor) and experts.shape == weights.shape:
            block = path.rpartition(".")[0]
            call = self._frames[-2].call if len(self._frames) > 1 else 0
            self._record_choice(block, self._frames_of(block), call, experts, weights, classes_count(module))

    def chose(self, path: str, module: Any, output: object) -> None:
        """A module has returned: if it is a router on its own, record the choice that it makes."""
        block = self._alone.get(path)
        if block is None:
            return
        if not self._frames or self._frames[-1].path != block:
            kind = type(self._owners[block]).__name__
            self._recorder.note(f"{kind} is called in parts: its routing can't be shown")
            return
        choice = choice_of(output, module.top_k, module.num_experts)
        if choice is not None:
            depth = len(self._frames)
            self._record_choice(block, depth, self._frames[-1].call, *choice, module.num_experts)

    def _frames_of(self, block: str) -> int:
        """How many modules run around what belongs to a block, itself included."""
        return next((place + 1 for place, frame in enumerate(self._frames) if frame.path == block), len(self._frames))

    def _record_choice(
        self, block: str, depth: int, call: int, experts: torch.Tensor, weights: torch.Tensor, count: int
    ) -> None:
        """Record a choice [N,A] that nobody can change, its weights [N,A], and what it was made from."""
        config = getattr(self._owners[block], "config", None)
        routing = self._behind(block, config, experts, weights, count)
        for role, tensor in (routing.made_from | {"experts": experts, "routing_weights": weights}).items():
            self._recorder.record(f"{block}:{role}", tensor, depth=depth, parent=block, call=call)

    def explained(self, module: nn.Module, experts: torch.Tensor, weights: torch.Tensor) -> RouterValues:
        """The scores behind a choice [N,A] with its weights [N,A] that experts are handed; to be asked once."""
        path = self._holders[module]
        return self._behind(path.rpartition(".")[0], module.config, experts, weights, self._count(path, module))

    def _behind(
        self, block: str, config: Any, experts: torch.Tensor, weights: torch.Tensor, count: int
    ) -> RouterValues:
        owner = self._owners[block]
        seen = [*self._seen.pop(block, []), Seen(owner, None, bias_of(owner))]
        return explain(seen, config, experts, weights, count)

    def are_all_here(self, module: nn.Module) -> bool:
        """Whether experts run one by one, all of them on this rank."""
        return module in self._holders and self._holders[module] not in self._cuts

    def routed(self, roles: Mapping[str, torch.Tensor]) -> None:
        """Record the choice that the running module was handed, as `RouterValues.roles` tells of it."""
        block = self._frames[-1].path.rpartition(".")[0]
        place = self._place(block)
        for role, tensor in roles.items():
            self._recorder.record(f"{block}:{role}", tensor, **place)

    def experts_in(
        self,
        module: nn.Module,
        experts: torch.Tensor,
        routing_weights: torch.Tensor,
        routing: RouterValues | None = None,
    ) -> Choice:
        """Record the choice [N,A] with its weights [N,A], and as far as can be told what it was made from.

        Returns both as edits leave them. routing: what it was made from, if somebody has asked already.
        """
        path, local, local_weights = self._frames[-1].path, experts, routing_weights
        block, count = path.rpartition(".")[0], self._count(path, module)
        place = self._place(block)
        experts, routing_weights = self._dispatched.whole(experts, routing_weights)  # [N,A] [N,A]
        routing = routing or self.explained(module, experts, routing_weights)
        for role, tensor in routing.made_from.items():
            self._recorder.record(f"{block}:{role}", tensor, **place)
        chosen, weights = self._editor.choice(block, experts, count), routing_weights  # [N,A] [N,A]
        if chosen is not experts:
            scores = routing.scores if routing.weighed else None  # [N,E]
            weights = weights_of(scores, experts, routing_weights, chosen)  # [N,A]
        shown, changed = experts, chosen  # [N,A] [N,A]
        if routing.classes is not None:
            # A token that skipped all experts is handed to one all the same, with the weight 0.
            shown = routing.classes
            changed = shown if chosen is experts else torch.where(chosen == experts, shown, chosen)
        self._editor.record_both(f"{block}:experts", shown, changed, **place)
        made, _ = self._editor.record(f"{block}:routing_weights", weights, original=routing_weights, **place)
        if self._dispatched.is_whole and self._dispatched.mixes_ranks(local):
            self._recorder.note(MIXED_TOKENS)
            return local, local_weights
        return self._dispatched.local(chosen, made)

    def stand_in(self, module: nn.Module) -> bool:
        """Whether the weights of a module's experts stand in it."""
        return self._store is None or not self._store.makes_experts(module)

    def expert_in(self, expert: int, tokens: torch.Tensor, inputs: torch.Tensor, at: float | None = None) -> None:
        """Record which tokens [n] an expert sees, and their hidden states [n,D]; at: when that was, if not now."""
        holder = self._frames[-1]
        if self._dispatched.stands_for_none(expert, inputs):
            return
        site = f"{holder.path}.{self._dispatched.first + expert}"
        for role, tensor in (("tokens", tokens), ("in", inputs)):
            depth = len(self._frames) + 1
            self._recorder.record(f"{site}:{role}", tensor, depth=depth, parent=site, call=holder.call)
        self._started = self._clock.now() if at is None else at

    def expert_weights(self, module: nn.Module, expert: int) -> ExpertWeights | None:
        """An expert's weights, made just in time; None where they stand in the module."""
        if self._store is None:
            return None
        with self._clock.uncounted():
            weights = self._store.of_expert(module, expert, self._making)
        self._weights = weights or {}
        return weights

    def expert_out(
        self, module: nn.Module | None, expert: int, output: torch.Tensor, at: float | None = None
    ) -> torch.Tensor:
        """Record what an expert made of its tokens [n,D]; returns it as edits leave it.

        module: None where nobody knows any more what weights it had. at: when that was, if not now.
        """
        holder = self._frames[-1]
        if self._dispatched.stood_for_none:
            return output
        number = self._dispatched.first + expert
        site = f"{holder.path}.{number}"
        provenance = "" if self._store is None or module is None else self._store.provenance(module, expert)
        if module is not None and not self._recorder.is_finite(output) and is_spoilt(output):
            bad = self._bad_weights(module, holder.path, expert, number)
            self._recorder.bad_weights(site, bad)
            provenance = with_kinds(provenance, bad)
        # Those of a large expert need not be there beside the next one's.
        self._weights = {}
        made, _ = self._editor.record_expert(
            holder.path.rpartition(".")[0],
            holder.path,
            number,
            output,
            depth=len(self._frames),
            parent=holder.path,
            call=holder.call,
            seconds=(self._clock.now() if at is None else at) - self._started,
            provenance=provenance,
        )
        return made

    def _bad_weights(self, module: nn.Module, path: str, expert: int, number: int) -> tuple[BadWeight, ...]:
        """Those of one expert's weights that aren't finite, by their names and places in the tensor of all experts.

        number: the expert's among those of all ranks.
        """
        own = self._weights or _rows(module, expert)
        return tuple(replace(weight, first=(number, *weight.first)) for weight in bad_among(path, own.items()))

    def _place(self, block: str) -> dict[str, Any]:
        call = self._frames[-2].call if len(self._frames) > 1 else 0
        return {"depth": len(self._frames) - 1, "parent": block, "call": call}


def _within(path: str, holder: str) -> bool:
    return path == holder or path.startswith(f"{holder}.")


def _rows(module: nn.Module, expert: int) -> ExpertWeights:
    """One expert's parameters, where those of all stand in their module."""
    every = ((name, local_tensor(weight)) for name, weight in module.named_parameters(recurse=False))
    return {name: weight[expert] for name, weight in every if weight.ndim > 1 and len(weight) == expert_count(module)}
