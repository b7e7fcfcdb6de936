"""What the experts of a layer leave in the trace: the choice, how it came about, and each expert's input and output."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tracetui.models.experts import ExpertWeights, expert_count, runs_singly
from tracetui.trace.record import BadWeight
from tracetui.tracer.bad_weights import bad_among, is_spoilt, with_kinds
from tracetui.tracer.edits import Editor
from tracetui.tracer.experts import Choice, experts_witnessed
from tracetui.tracer.frames import Frame
from tracetui.tracer.recorder import Recorder
from tracetui.tracer.routers import Seen, bias_of, explain, scores_in, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ReadExpert = Callable[[nn.Module, int], ExpertWeights | None]


class ExpertWatch:
    """Records routing and experts of a model whose modules `frames` follows."""

    def __init__(
        self,
        frames: list[Frame],
        recorder: Recorder,
        editor: Editor,
        read: ReadExpert,
        clock: Callable[[], float],
        provenance: Callable[[nn.Module, int], str],
    ) -> None:
        self._frames = frames
        self._recorder = recorder
        self._editor = editor
        self._read = read
        self._clock = clock
        self._provenance = provenance
        self._blocks: dict[str, tuple[str, int]] = {}
        """By the path of a module that runs beside experts: the block around both, and how many they are."""
        self._owners: dict[str, nn.Module] = {}
        """By its path, the block around experts: it may hold what its router is given."""
        self._seen: dict[str, list[Seen]] = {}
        self._started = 0.0
        self._weights: ExpertWeights = {}
        """Of the expert that runs, where they don't stand in its module."""

    @contextmanager
    def watched(self, modules: Mapping[str, nn.Module]) -> Iterator[None]:
        """Look at the experts among a model's modules, by their paths, for the length of a `with`."""
        holders = {path: module for path, module in modules.items() if runs_singly(module)}
        for path, module in holders.items():
            block = path.rpartition(".")[0]
            self._owners[block] = modules[block]
            inside = (name for name, _ in self._owners[block].named_modules(prefix=block) if name != block)
            self._blocks.update((name, (block, expert_count(module))) for name in inside if not _within(name, path))
        try:
            with experts_witnessed(holders.values(), self):
                yield
        finally:
            self._seen.clear()

    def returned(self, path: str, module: nn.Module, output: object) -> None:
        """A module has run and its weights still stand: if it may be a router, remember what it said."""
        if path in self._blocks:
            block, count = self._blocks[path]
            bias = bias_of(module)
            if bias is not None or scores_in(output, count) is not None:
                self._seen.setdefault(block, []).append(Seen(module, output, bias))

    def routed(self, module: nn.Module, experts: torch.Tensor, routing_weights: torch.Tensor) -> Choice:
        """Record the choice [N,A] with its weights [N,A], and as far as can be told what it was made from.

        Returns both as edits leave them.
        """
        block = self._frames[-1].path.rpartition(".")[0]
        owner = self._owners[block]
        seen = [*self._seen.pop(block, []), Seen(owner, None, bias_of(owner))]
        count = expert_count(module)
        routing = explain(seen, module.config, experts, routing_weights, count)
        self._record_role("router_logits", routing.logits)
        self._record_role("router_scores", routing.scores)
        self._record_role("selection_scores", routing.selection)
        self._record_role("selection_bias", routing.bias)
        chosen, weights = self._editor.choice(block, experts, count), routing_weights  # [N,A] [N,A]
        if chosen is not experts:
            weights = weights_of(routing, experts, routing_weights, chosen)  # [N,A]
        self._editor.record_both(f"{block}:experts", experts, chosen, **self._place(block))
        made, _ = self._editor.record(
            f"{block}:routing_weights", weights, original=routing_weights, **self._place(block)
        )
        return chosen, made

    def expert_given(self, expert: int, tokens: torch.Tensor, inputs: torch.Tensor) -> None:
        """Record which tokens [n] an expert sees, and their hidden states [n,D]."""
        holder = self._frames[-1]
        site = f"{holder.path}.{expert}"
        for role, tensor in (("tokens", tokens), ("in", inputs)):
            depth = len(self._frames) + 1
            self._recorder.record(f"{site}:{role}", tensor, depth=depth, parent=site, call=holder.call)
        self._started = self._clock()

    def expert_weights(self, module: nn.Module, expert: int) -> ExpertWeights | None:
        """An expert's weights, made just in time; None where they stand in the module."""
        weights = self._read(module, expert)
        self._weights = weights or {}
        return weights

    def expert_returned(self, module: nn.Module, expert: int, output: torch.Tensor) -> torch.Tensor:
        """Record what an expert made of its tokens [n,D]; returns it as edits leave it."""
        holder = self._frames[-1]
        site, provenance = f"{holder.path}.{expert}", self._provenance(module, expert)
        if is_spoilt(output):
            bad = self._bad_weights(module, holder.path, expert)
            self._recorder.bad_weights(site, bad)
            provenance = with_kinds(provenance, bad)
        made, _ = self._editor.record_expert(
            holder.path.rpartition(".")[0],
            holder.path,
            expert,
            output,
            depth=len(self._frames),
            parent=holder.path,
            call=holder.call,
            seconds=self._clock() - self._started,
            provenance=provenance,
        )
        return made

    def _bad_weights(self, module: nn.Module, path: str, expert: int) -> tuple[BadWeight, ...]:
        """Those of one expert's weights that aren't finite, by their names and places in the tensor of all experts."""
        own = self._weights or _rows(module, expert)
        return tuple(replace(weight, first=(expert, *weight.first)) for weight in bad_among(path, own.items()))

    def _record_role(self, role: str, tensor: torch.Tensor | None) -> None:
        """Record what belongs to the block around the experts."""
        if tensor is not None:
            block = self._frames[-1].path.rpartition(".")[0]
            self._recorder.record(f"{block}:{role}", tensor, **self._place(block))

    def _place(self, block: str) -> dict[str, Any]:
        call = self._frames[-2].call if len(self._frames) > 1 else 0
        return {"depth": len(self._frames) - 1, "parent": block, "call": call}


def _within(path: str, holder: str) -> bool:
    return path == holder or path.startswith(f"{holder}.")


def _rows(module: nn.Module, expert: int) -> ExpertWeights:
    """One expert's parameters, where those of all stand in their module."""
    every = module.named_parameters(recurse=False)
    return {name: weight[expert] for name, weight in every if weight.ndim > 1 and len(weight) == expert_count(module)}
