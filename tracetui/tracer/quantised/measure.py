"""What quantising did: each layer, each kind of matrix and the worst layers' matrices swapped by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.quantised.damage import (
    PositionDamage,
    QuantisationReport,
    Reference,
    SwapDamage,
    SwapKind,
    TensorDamage,
)
from tracetui.errors import Cancelled, InputError
from tracetui.recipe import Prompts, Recipe
from tracetui.recording.record import is_layer
from tracetui.recording.trace import Trace
from tracetui.tracer.quantised.side_by_side import LayerSwap, SideBySide, SwappedRun
from tracetui.tracer.quantised.swapping import SwappableWeight, SwappingModel, logits_of

WORST_LAYERS = 3
"""Of so many layers every matrix is swapped by itself, unless all are."""
Tell = Callable[[str, int, int], None]
"""Called with what is done now, how many steps are done, and how many there are as far as is known."""


@dataclass(frozen=True, slots=True)
class _Swap:
    part: SwapKind
    name: str
    layer: str
    """The one that it lies in; empty outside of all, or in several."""
    weights: tuple[str, ...]


class Measurement:
    """A quantised model beside its original. `run` takes one thread; `cancel` may be called from any."""

    def __init__(self, original: Recipe, quantised: Recipe, prompts: Prompts, every_matrix: bool = False) -> None:
        """every_matrix: of all layers, not the worst alone."""
        self._recipes = original, quantised
        self._prompts = prompts
        self._every_matrix = every_matrix
        self._cancelled = False
        self._model: SwappingModel | None = None

    def run(self, tell: Tell) -> QuantisationReport:
        """What the quantised weights do to the original over all positions of the prompts.

        Raises InputError, RunError, ModelError, and Cancelled once `cancel` was called.
        """

        def told(what: str, done: int, count: int) -> None:
            if self._cancelled:
                raise Cancelled
            tell(what, done, count)

        told("loading both models", 0, 0)
        model = self._model = SwappingModel(*self._recipes)
        original, quantised = self._recipes
        try:
            return _Measure(model, self._prompts, told, self._every_matrix).report((original.name, quantised.name))
        finally:
            model.close()

    def cancel(self) -> None:
        """Have `run` end as soon as it can."""
        self._cancelled = True
        if self._model is not None:
            self._model.cancel()


@dataclass(eq=False, slots=True)
class _Measure:
    """One measurement."""

    model: SwappingModel
    prompts: Prompts
    tell: Tell
    every_matrix: bool
    done: int = 0
    count: int = 0
    """Of runs."""
    reference: Reference | None = None
    side_by_side: SideBySide | None = None

    def report(self, names: tuple[str, str]) -> QuantisationReport:
        weights = list(self._weights())
        if not weights:
            raise InputError(f"{names[1]}: all its weights are those of {names[0]}: there is nothing to measure")
        by_layer, by_kind = _layers(weights), _kinds(weights)
        picked = len(by_layer) if self.every_matrix else min(WORST_LAYERS, len(by_layer))
        self.count = 3 + len(by_layer) + len(by_kind) + sum(sorted(len(s.weights) for s in by_layer)[-picked:])
        with self.model.output_errors([weight.name for weight in weights]) as errors:
            trace = self._full()
        logits, lengths = logits_of(trace), tuple(map(len, trace.tokens))
        if logits.shape[1] < max(lengths):
            raise InputError("prompts: this model returns logits of the last position alone")
        self.reference = Reference(logits, lengths)
        tensors = [
            TensorDamage(weight.name, weight.spec.shape, weight.error, errors.get(weight.name)) for weight in weights
        ]
        layers = self._from_layers(by_layer, trace)
        matrices = self._matrices(weights, layers)
        singles = self._from_layers(matrices, self._full()) if matrices else []
        whole, by_position = self._whole(trace, tuple(weight.name for weight in weights))
        kinds = [self._kind(swap) for swap in by_kind]
        return QuantisationReport(
            *names,
            positions=sum(lengths),
            compared=len(self.model.specs()),
            tensors=tuple(tensors),
            whole=whole,
            parts=(*layers, *kinds, *singles),
            by_position=by_position,
            notes=self.model.notes,
        )

    def _weights(self) -> Iterator[SwappableWeight]:
        specs = self.model.specs()
        for number, spec in enumerate(specs):
            self.tell("comparing weights", number, len(specs))
            if error := self.model.weight_error(spec):
                yield SwappableWeight(spec, error)

    def _full(self) -> Trace:
        self._tell_run("the original")
        return self.model.run(self.prompts)

    def _whole(self, original: Trace, names: tuple[str, ...]) -> tuple[SwapDamage, tuple[PositionDamage, ...]]:
        """All of them swapped, with what that does at each position."""
        self._tell_run("all weights")
        with self.model.swapped(names):
            logits = logits_of(self.model.run(self.prompts))
        assert self.reference is not None
        token = self.model.runnable.tokenizer.token
        by_position = tuple(
            PositionDamage(
                shift, original.tokens[shift.row][shift.token], token(shift.original.id), token(shift.quantised.id)
            )
            for shift in self.reference.by_position(logits)
        )
        return SwapDamage(SwapKind.WHOLE, "", self.reference.shift(logits)), by_position

    def _tell_run(self, what: str) -> None:
        self.tell(what, self.done, max(self.count, self.done + 1))
        self.done += 1

    def _from_layers(self, swaps: Sequence[_Swap], original: Trace) -> list[SwapDamage]:
        """Each swap from its own layer on, the last layer first: what lies before is always the original's, whose run
        was the one before."""
        order = {layer: place for place, layer in enumerate(_layers_of(original))}
        last_first = sorted(swaps, key=lambda swap: -order.get(swap.layer, len(order)))
        by_weights = {swap.weights: swap for swap in swaps}
        if self.side_by_side is None:
            self.side_by_side = SideBySide(self.model, self.prompts)
        runs = self.side_by_side.run(
            original,
            [LayerSwap(swap.layer, swap.weights) for swap in last_first],
            lambda swap: self._tell_run(by_weights[swap.weights].name),
        )
        measured = {swap: self._damage(swap, original, run) for swap, run in zip(last_first, runs, strict=True)}
        return [measured[swap] for swap in swaps]

    def _damage(self, swap: _Swap, original: Trace, run: SwappedRun) -> SwapDamage:
        assert self.reference is not None
        return SwapDamage(swap.part, swap.name, self.reference.shift(run.logits), _layer_error(swap, original, run))

    def _kind(self, swap: _Swap) -> SwapDamage:
        """What a swap in all layers does, from the prompt on."""
        self._tell_run(swap.name)
        with self.model.swapped(swap.weights):
            logits = logits_of(self.model.run(self.prompts))
        assert self.reference is not None
        return SwapDamage(swap.part, swap.name, self.reference.shift(logits))

    def _matrices(self, weights: Sequence[SwappableWeight], layers: Sequence[SwapDamage]) -> list[_Swap]:
        worst = sorted(layers, key=lambda each: -each.shift.divergence)[:WORST_LAYERS]
        picked = {each.name for each in (layers if self.every_matrix else worst)}
        inside = (weight for weight in weights if weight.layer in picked)
        return [_Swap(SwapKind.MATRIX, weight.name, weight.layer, (weight.name,)) for weight in inside]


def _layers(weights: Sequence[SwappableWeight]) -> list[_Swap]:
    """Each layer with what differs in it."""
    names: dict[str, list[str]] = {}
    for weight in weights:
        if weight.layer:
            names.setdefault(weight.layer, []).append(weight.name)
    return [_Swap(SwapKind.LAYER, layer, layer, tuple(own)) for layer, own in names.items()]


def _kinds(weights: Sequence[SwappableWeight]) -> list[_Swap]:
    """Each kind of weight in all layers, and what stands outside of them."""
    names: dict[str, list[str]] = {}
    for weight in weights:
        names.setdefault(weight.kind, []).append(weight.name)
    return [_Swap(SwapKind.KIND, kind, "", tuple(own)) for kind, own in names.items()]


def _layers_of(trace: Trace) -> list[str]:
    return list(dict.fromkeys(record.site for record in trace.records if is_layer(record.site)))


def _layer_error(swap: _Swap, original: Trace, run: SwappedRun) -> float | None:
    """How far a swapped layer's output is from the original's, whose input it was given."""
    if swap.part is not SwapKind.LAYER or run.layer_output is None or swap.layer not in original:
        return None
    a, b = run.layer_output.astype(np.float64), original[swap.layer].astype(np.float64)
    norm = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / norm if norm else None
