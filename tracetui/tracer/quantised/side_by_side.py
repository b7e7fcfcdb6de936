"""Several swaps in one run: each goes on from its own layer as a row of the batch, through later layers they share.

After its swapped layer every swap runs with the original's weights: so those are read once for all, and products of
more rows take less time for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.cache_utils import Cache

from tracetui.debugger.fault import ModelError
from tracetui.errors import InputError, RunError
from tracetui.recipe import Prompts
from tracetui.recording.record import is_layer
from tracetui.recording.trace import Trace
from tracetui.recording.value import is_kept
from tracetui.tracer.capture.outputs import tensors_in, with_others
from tracetui.tracer.capture.values import tensor_of
from tracetui.tracer.quantised.swapping import Array, SwappingModel, logits_of

ROWS = 4
"""Swaps in one run at most."""
_APART = 1e-2
"""Of what a swap does to the logits, by which a row may be off what the swap gives alone."""
_STATES = "hidden_states"
_Kind = frozenset[tuple[object, ...]]
"""Of a layer."""


@dataclass(frozen=True, slots=True)
class LayerSwap:
    """Weights of one layer that are the quantised model's."""

    layer: str
    weights: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True)
class SwappedRun:
    """What a swap gave."""

    logits: Array  # [B,T,V]
    layer_output: Array | None
    """Of the swapped layer; None where it isn't known."""


class _ApartError(RunError):
    """Rows can't go through this model side by side."""


class SideBySide:
    """Runs swaps after a run of the original, the last layers first: what lies before always is the original's."""

    def __init__(self, model: SwappingModel, prompts: Prompts) -> None:
        self._model = model
        self._prompts = prompts
        self._fits = True
        self._kinds = _kinds(model.runnable.built.module)
        """Of each layer, in the order of the model."""
        self._swapped: set[_Kind] = set()
        """The kinds of those layers of which a swap beside others has been compared with the same swap alone."""
        self._shared: set[_Kind] = set()
        """And of those that such a row went through with the others."""

    def run(
        self, original: Trace, swaps: Sequence[LayerSwap], begins: Callable[[LayerSwap], None]
    ) -> Iterator[SwappedRun]:
        """What each gave.

        original: of the run before, of these prompts. swaps: the last layer first. begins: told of each before it runs.
        """
        at, rows = 0, _most_rows(self._model, original)
        while at < len(swaps):
            group = swaps[at : at + (rows if self._fits else 1)]
            at += len(group)
            if len(group) > 1 and (runs := self._together(original, group, begins)):
                yield from runs
                continue
            yield from (self._alone(original, swap, begins) for swap in group)

    def _alone(self, original: Trace, swap: LayerSwap, begins: Callable[[LayerSwap], None]) -> SwappedRun:
        begins(swap)
        with self._model.swapped(swap.weights):
            trace = self._model.run_from(original, swap.layer)
        output = trace[swap.layer] if swap.layer in original and swap.layer in trace else None
        return SwappedRun(logits_of(trace), output)

    def _together(
        self, original: Trace, group: Sequence[LayerSwap], begins: Callable[[LayerSwap], None]
    ) -> list[SwappedRun]:
        """Nothing where the model doesn't take rows side by side: then none of it ever does, and the original has run
        once more."""
        carried = _CarriedRows(self._model, original, begins)
        first = group[-1]
        try:
            with carried.carrying(group):
                logits = logits_of(self._model.run_from(original, first.layer))  # [R,T,V]
            runs = carried.runs(group, logits)
            self._check(original, carried.order, dict(zip(group, runs, strict=True)))
        except (_ApartError, ModelError):
            self._fits = False
            self._model.run(self._prompts)
            return []
        return runs

    def _check(self, original: Trace, order: Sequence[LayerSwap], runs: Mapping[LayerSwap, SwappedRun]) -> None:
        """Raises _ApartError where a row isn't what its swap gives alone; looked at once for each kind of layer.

        order: the swaps as they began. Before the layer of the first all is the original's.
        """
        start, second, *others = order
        # The first one's layer is called as ever: the next one's shows more.
        for swap in (second, *others, start):
            own = set() if swap is start else {self._kinds[swap.layer]}
            further = self._kinds_after(swap.layer)
            if own <= self._swapped and further <= self._shared:
                continue
            with self._model.swapped(swap.weights):
                alone = logits_of(self._model.run_from(original, start.layer))
            _compare(runs[swap].logits, alone, logits_of(original))
            self._swapped |= own
            self._shared |= further

    def _kinds_after(self, layer: str) -> set[_Kind]:
        paths = list(self._kinds)
        return {self._kinds[path] for path in paths[paths.index(layer) + 1 :]}


class _CarriedRows:
    """The rows of one run: they grow by one with each swap that begins."""

    def __init__(self, model: SwappingModel, original: Trace, begins: Callable[[LayerSwap], None]) -> None:
        self._model = model
        self._original = original
        self._begins = begins
        self.order: list[LayerSwap] = []
        """The swaps that have begun, by their rows."""
        self._outputs: list[Array] = []

    @contextmanager
    def carrying(self, group: Sequence[LayerSwap]) -> Iterator[None]:
        """The layers run with their swaps as further rows, for the length of a `with`."""
        module = self._model.runnable.built.module
        layers = {swap.layer: module.get_submodule(swap.layer) for swap in group}
        try:
            for path, layer in layers.items():
                own = [swap for swap in group if swap.layer == path]
                layer.__dict__["forward"] = partial(self._forward, layer, layer.forward, own)
            yield
        finally:
            for layer in layers.values():
                layer.__dict__.pop("forward", None)

    def runs(self, group: Sequence[LayerSwap], logits: Array) -> list[SwappedRun]:
        """What each swap of the group gave, of all rows' logits [R,T,V]."""
        if len(self.order) != len(group) or logits.shape[0] != len(group):
            raise _ApartError("not a row for each swap")
        places = map(self.order.index, group)
        return [SwappedRun(logits[place : place + 1], self._outputs[place]) for place in places]

    def _forward(
        self,
        layer: nn.Module,
        forward: Callable[..., Any],
        swaps: Sequence[LayerSwap],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """The original layer for the rows that are there, and the swapped ones for the original's input."""
        own, outputs = _Arguments(args, kwargs), []
        if len(own.states) != max(1, len(self.order)):
            raise _ApartError("a layer isn't given a row for each swap")
        if self.order:
            outputs.append(forward(*args, **kwargs))
            own = own.with_states(self._input(swaps[0].layer, own.states))
        for swap in swaps:
            self._begins(swap)
            own = own.without_cache() if outputs else own
            outputs.append(self._swapped(swap, layer, partial(forward, *own.args, **own.kwargs)))
            self.order.append(swap)
        return _joined(outputs)

    def _input(self, path: str, like: torch.Tensor) -> torch.Tensor:
        record = self._original.find(f"{path}:input")
        value = None if record is None else self._original.value(record)
        if value is None or not is_kept(value) or tuple(value.shape[1:]) != tuple(like.shape[1:]):
            raise _ApartError("a layer isn't given a residual stream alone")
        return tensor_of(value, like.device)  # [1,T,D]

    def _swapped(self, swap: LayerSwap, layer: nn.Module, run: Callable[[], Any]) -> Any:
        weights = self._model.runnable.weights
        with self._model.swapped(swap.weights):
            # What stays isn't asked for again in a run; of what doesn't the layer itself has begun already.
            modules = layer.modules() if weights.all_stay else (layer,)
            for module in filter(weights.needed_by, modules):
                weights.put_in(module, lambda name, done, total: None)
            output = run()
        if len(states := _stream(output)) != 1:
            raise _ApartError("a swapped layer returns more than its own row")
        self._outputs.append(states.cpu().numpy())
        return output


@dataclass(frozen=True, eq=False, slots=True)
class _Arguments:
    """A layer's."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def states(self) -> torch.Tensor:
        """[B,T,D]"""
        states = self.args[0] if self.args else self.kwargs.get(_STATES)
        if not isinstance(states, torch.Tensor) or states.dim() != 3:
            raise _ApartError("a layer isn't given a residual stream")
        return states

    def with_states(self, states: torch.Tensor) -> _Arguments:
        if self.args:
            return _Arguments((states, *self.args[1:]), self.kwargs)
        return _Arguments((), {**self.kwargs, _STATES: states})

    def without_cache(self) -> _Arguments:
        """Rows that ran have put theirs there already."""
        args = tuple(None if isinstance(each, Cache) else each for each in self.args)
        return _Arguments(args, {name: None if isinstance(v, Cache) else v for name, v in self.kwargs.items()})


def _most_rows(model: SwappingModel, original: Trace) -> int:
    """How many swaps may run side by side: one where several prompts have rows of their own, or where the dtype rounds
    so coarsely that another order of sums shows beside what a swap does."""
    if len(original.tokens) != 1 or model.runnable.built.dtype not in (torch.float32, torch.float64):
        return 1
    for rows in range(ROWS, 1, -1):
        try:
            model.engine.plan(len(original.tokens[0]), rows, 0)
        except InputError:
            continue
        return rows
    return 1


def _kinds(model: nn.Module) -> dict[str, _Kind]:
    """What each layer is made of, by its path: classes, and what modules say of themselves in words."""
    return {path: frozenset(map(_kind, layer.modules())) for path, layer in model.named_modules() if is_layer(path)}


def _kind(module: nn.Module) -> tuple[object, ...]:
    words = ((name, value) for name, value in vars(module).items() if isinstance(value, str | bool))
    return type(module), *sorted(words, key=str)


def _compare(beside: Array, alone: Array, plain: Array) -> None:
    """Raises _ApartError where logits [1,T,V] of a row aren't those of its swap alone."""
    if not np.linalg.norm(beside - alone) <= _APART * np.linalg.norm(alone - plain):
        raise _ApartError("rows aren't what they are alone")


def _stream(output: Any) -> torch.Tensor:
    tensors = list(tensors_in(output, whole=True))
    if len(tensors) != 1 or tensors[0].dim() != 3:
        raise _ApartError("a layer returns more than the residual stream")
    return tensors[0]


def _joined(outputs: Sequence[Any]) -> Any:
    """One output of all their rows."""
    return with_others(outputs[0], {0: torch.cat([_stream(output) for output in outputs])}, whole=True)
