"""An original model in which weights can be swapped for a quantised one's, and run from the first of them on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import prod

import numpy as np
import numpy.typing as npt
from torch import nn

from tracetui.errors import InputError, RunError
from tracetui.models.runnable import Runnable, make_runnable
from tracetui.models.weights.residents import reads_rows
from tracetui.models.weights.sources import TensorSpec
from tracetui.models.weights.swapped import SwappedSource
from tracetui.recipe import Prompts, Recipe
from tracetui.recording.keep import Keep
from tracetui.recording.record import is_layer, layer_path
from tracetui.recording.sites import SitePattern
from tracetui.recording.trace import Trace
from tracetui.text import visible
from tracetui.tracer.capture.outputs import tensors_in
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate

_ELEMENTS_AT_ONCE = 2**24
_LOGITS = "logits"
Array = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False, slots=True)
class SwappableWeight:
    """A weight that isn't the same in both models."""

    spec: TensorSpec
    error: float
    """|a - b|/|b|"""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def layer(self) -> str:
        """The path of its layer; empty outside of all."""
        return layer_path(self.name)

    @property
    def kind(self) -> str:
        """Its name within a layer, `mlp.down_proj.weight`; outside of all its whole name."""
        return self.name.removeprefix(f"{self.layer}.") if self.layer else self.name


class SwappingModel:
    """Both models; the original one runs. Lives on one thread."""

    def __init__(self, original: Recipe, quantised: Recipe) -> None:
        """Raises InputError where one isn't the other quantised, as far as names and shapes tell."""
        self.source = SwappedSource()
        made = make_runnable(original, over=self.source.over)
        other = make_runnable(replace(quantised, dtype=str(made.built.dtype).removeprefix("torch."), memory=0))
        self.source.other = other.weights.source
        self.runnable: Runnable = made
        # Its tokenizer isn't used.
        theirs = (note for note in other.notes if note not in (*made.notes, *other.tokenizer.remarks))
        self.notes = (*made.notes, *theirs)
        self._quantised = quantised.name
        self._check_alike(other)
        self.engine = Engine(_keeping_layers(made), goes_on=True, layers_alone=True)
        self._gate = _new_gate()
        self._cancelled = False

    def _check_whole(self, other: Runnable) -> None:
        """Raises InputError where one has layers or weights that the other lacks."""
        own, theirs = (
            {slot.spec.name: slot.provenance for _, slot in model.weights.all_slots()}
            for model in (self.runnable, other)
        )
        for name, provenance in theirs.items():
            if name not in own and not layer_path(name):
                self.notes += (
                    f"{visible(name, 80)}: {self._quantised} has it apart and the original hasn't: not swapped",
                )
            elif name not in own:
                problem = "isn't in the original: this is another model"
                raise InputError(f"{self._quantised}: {visible(name, 80)}: {problem}")
            if name in own and (provenance == "random") is not (own[name] == "random"):
                lacking = self._quantised if provenance == "random" else "the original"
                problem = (
                    f"{lacking} lacks it and has random numbers in its place, which would be measured for quantising"
                )
                raise InputError(f"{self._quantised}: {visible(name, 80)}: {problem}")

    def _check_alike(self, other: Runnable) -> None:
        shapes = {slot.spec.name: slot.spec.shape for _, slot in other.weights.all_slots()}
        self._check_whole(other)
        for _, slot in self.runnable.weights.all_slots():
            theirs = shapes.get(slot.spec.name)
            if theirs != slot.spec.shape:
                problem = "isn't there" if theirs is None else f"is of the shape {list(theirs)}"
                name, shape = visible(slot.spec.name, 80), list(slot.spec.shape)
                raise InputError(
                    f"{self._quantised}: {name}: {problem}, the original's is {shape}: this is another model"
                )

    def specs(self) -> list[TensorSpec]:
        """All weights, each once, in the order of the model."""
        return list({slot.spec.name: slot.spec for _, slot in self.runnable.weights.all_slots()}.values())

    def weight_error(self, spec: TensorSpec) -> float:
        """|a - b|/|b| of a whole weight. Raises RunError where it isn't finite."""
        apart, norm = 0.0, 0.0
        for rows in _pieces(spec):
            mine, theirs = (
                source.read(spec, rows, _unheard).double() for source in (self.source.own, self.source.other)
            )
            apart += float((theirs - mine).square().sum())
            norm += float(mine.square().sum())
        error = (apart / norm) ** 0.5 if norm else float(apart > 0)
        if not np.isfinite(error):
            raise RunError(f"{spec.name}: isn't finite, in the original or quantised")
        return error

    def run(self, prompts: Prompts) -> Trace:
        """The original as it is, or with what is swapped now, from the prompt on."""
        return self.engine.run(prompts, self._next_gate())

    def run_from(self, original: Trace, layer: str) -> Trace:
        """The same from a layer on; what lies before comes from the last run, in which that was the original's."""
        at = next(record.index for record in original.records if layer_path(record.site) == layer)
        return self.engine.rerun(at, self._next_gate())

    def cancel(self) -> None:
        """Have the run under way, and every later one, raise Cancelled. From any thread."""
        self._cancelled = True
        self._gate.cancel()

    def _next_gate(self) -> Gate:
        self._gate = gate = _new_gate()
        if self._cancelled:
            gate.cancel()
        return gate

    @contextmanager
    def swapped(self, names: Sequence[str]) -> Iterator[None]:
        """These weights are the quantised model's, for the length of a `with`."""
        before = self.source.swapped
        with self.runnable.weights.read_anew(names):
            self.source.swapped = frozenset(names)
            try:
                yield
            finally:
                self.source.swapped = before

    @contextmanager
    def output_errors(self, names: Sequence[str]) -> Iterator[dict[str, float]]:
        """While the original runs in this `with`: how far off each module is that is given its input and one of these
        weights, by the weight's name. Modules with others inside, tables and experts are left out."""
        errors: dict[str, float] = {}
        swappable, handles = set(names), []
        for module in self.runnable.built.module.modules():
            own = [slot.spec.name for slot in self.runnable.weights.of(module) if slot.spec.name in swappable]
            is_plain = not reads_rows(module) and not any(True for _ in module.children())
            if own and is_plain and self.runnable.weights.needed_by(module):
                hook = partial(self._again, errors, own)
                handles.append(module.register_forward_hook(hook, with_kwargs=True))
        try:
            yield errors
        finally:
            for handle in handles:
                handle.remove()

    def _again(
        self,
        errors: dict[str, float],
        names: Sequence[str],
        module: nn.Module,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        output: object,
    ) -> None:
        expected = next(iter(tensors_in(output, whole=True)), None)
        if expected is None:
            return
        for name in names:
            with self.swapped([name]):
                self.runnable.weights.put_in(module, lambda name, done, total: None)
                made = next(iter(tensors_in(module.forward(*args, **kwargs), whole=True)))
            norm = float(expected.double().norm())
            error = float((made.double() - expected.double()).norm()) / norm if norm else 0.0
            errors[name] = max(error, errors.get(name, 0.0))

    def close(self) -> None:
        self.engine.close()


def _new_gate() -> Gate:
    return Gate(waits=False, notices=False)


def logits_of(trace: Trace) -> Array:
    """[B,T,V]"""
    return trace[_LOGITS]


def _keeping_layers(made: Runnable) -> Runnable:
    """What is ready to run, with the outputs of all layers kept, from which a run can be taken up again."""
    lists = {path.rpartition(".")[0] for path, _ in made.built.module.named_modules() if is_layer(path)}
    numbers = ("?", "??", "???", "????")
    patterns = tuple(SitePattern(f"{path}.{number}") for path in sorted(lists) for number in numbers)
    return replace(made, recipe=replace(made.recipe, keep=Keep(False, (SitePattern(_LOGITS), *patterns))))


def _pieces(spec: TensorSpec) -> Iterator[Sequence[int] | None]:
    """The rows of a weight that are compared at a time; None for all of them."""
    if len(spec.shape) < 2 or prod(spec.shape) <= _ELEMENTS_AT_ONCE:
        yield None
        return
    step = max(1, _ELEMENTS_AT_ONCE // prod(spec.shape[1:]))
    for first in range(0, spec.shape[0], step):
        yield range(first, min(first + step, spec.shape[0]))


def _unheard(made: int) -> None:
    """Nobody watches."""
