"""How the choices of a block are spread over its experts, and of all blocks over layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tracetui.analysis.experts.routing import Floats, Ints, loaded
from tracetui.errors import RunError
from tracetui.recording.record import Record
from tracetui.recording.trace import EMPTY_TRACE, Trace


@dataclass(frozen=True, eq=False, slots=True)
class Load:
    """How often each expert of one block was chosen."""

    counts: Ints
    """[E]; together N·A."""

    @property
    def shares(self) -> Floats:
        """[E]: of all choices; 0 where there are none."""
        return self.counts / max(1, int(self.counts.sum()))

    @property
    def entropy(self) -> float:
        """Of the shares, in bits: log2 E when all are alike, 0 when one expert has all."""
        shares = self.shares[self.counts > 0]
        return float(-(shares * np.log2(shares)).sum()) + 0.0

    @property
    def attainable(self) -> int:
        """How many experts so many choices can hit at most."""
        return min(len(self.counts), int(self.counts.sum()))

    @property
    def most_entropy(self) -> float:
        """What the entropy would be if as many experts as could be were chosen alike: log2 of their number."""
        return float(np.log2(max(1, self.attainable)))

    @property
    def dead(self) -> Ints:
        """Experts that no token chose."""
        return np.flatnonzero(self.counts == 0)

    @property
    def gini(self) -> float:
        """Inequality of the shares: 0 when all are alike, 1 - 1/E when one expert has all."""
        rising, count = np.sort(self.counts), len(self.counts)
        if not rising.sum():
            return 0.0
        ranks = 2 * np.arange(1, count + 1) - count - 1  # [E]
        return float((ranks * rising).sum() / (count * rising.sum()))

    def busiest(self, k: int) -> list[int]:
        """The k experts chosen most often, of equal ones the first."""
        order = np.argsort(-self.counts, kind="stable")[:k]
        return [int(expert) for expert in order if self.counts[expert]]


def expert_load(experts: Ints, count: int) -> Load:
    """The load of choices [n,A] among `count` experts."""
    return Load(np.bincount(experts.reshape(-1), minlength=count).astype(np.int64))


@dataclass(frozen=True, eq=False, slots=True)
class LayerLoad:
    """The load of one block."""

    record: Record
    """`…:experts`."""
    load: Load | None
    """None where the choices can't be read."""


@dataclass(frozen=True, eq=False, slots=True)
class Loads:
    """The loads of all blocks among a trace's first `scanned` records."""

    trace: Trace
    scanned: int
    blocks: tuple[LayerLoad, ...] = ()

    def at(self, cursor: int) -> LayerLoad | None:
        """The block whose choice is the last at or before a record; None before the first."""
        before = [block for block in self.blocks if block.record.index <= cursor]
        return before[-1] if before else None

    def after(self, cursor: int) -> LayerLoad | None:
        """The first block whose choice comes after a record."""
        return next((block for block in self.blocks if block.record.index > cursor), None)

    def neighbour(self, cursor: int, by: int) -> LayerLoad | None:
        """The block so many layers with experts further on than the one of a record, in the same pass; or None."""
        here = self.at(cursor)
        blocks = self.of_pass(here.record.pass_) if here else []
        at = next((place for place, block in enumerate(blocks) if block is here), -1) + by
        return blocks[at] if here in blocks and 0 <= at < len(blocks) else None

    def of_layer(self, layer: int, pass_: int = 0) -> LayerLoad | None:
        return next((block for block in self.of_pass(pass_) if block.record.layer == layer), None)

    def of_pass(self, pass_: int = 0) -> list[LayerLoad]:
        """The blocks of a pass that lie in a layer, in order of layers; of repeated calls the first."""
        blocks: dict[int, LayerLoad] = {}
        for block in self.blocks:
            if block.record.pass_ == pass_ and block.record.layer is not None:
                blocks.setdefault(block.record.layer, block)
        return [blocks[layer] for layer in sorted(blocks)]


NO_LOADS = Loads(EMPTY_TRACE, 0)


def extended(loads: Loads, trace: Trace, frontier: int) -> Loads:
    """The loads of the trace's first `frontier` records, those already known not read again."""
    known = loads if loads.trace is trace and loads.scanned <= frontier else Loads(trace, 0)
    fresh = [record for record in trace.records[known.scanned : frontier] if record.role == "experts"]
    blocks = tuple(LayerLoad(record, _load(trace, record)) for record in fresh)
    return replace(known, scanned=frontier, blocks=known.blocks + blocks)


def load_matrix(blocks: list[LayerLoad]) -> tuple[int, Floats]:
    """The first layer, and the shares [L,E] from it to the last; NaN where a layer has no such expert, or no block."""
    layers = [block.record.layer or 0 for block in blocks]
    width = max((len(block.load.counts) for block in blocks if block.load), default=0)
    shares = np.full((layers[-1] - layers[0] + 1 if layers else 0, width), np.nan)  # [L,E]
    for layer, block in zip(layers, blocks, strict=True):
        if block.load:
            shares[layer - layers[0], : len(block.load.counts)] = block.load.shares
    return (layers[0] if layers else 0), shares


def _load(trace: Trace, record: Record) -> Load | None:
    try:
        return expert_load(*loaded(trace, record))
    except RunError:
        return None
