"""One record as expressions see it: whatever a name needs is computed when it is asked for, and once."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from typing import cast

import numpy as np

from tracetui.analysis.attention.kinds import KINDS, Kind
from tracetui.analysis.attention.matrices import matrix_at
from tracetui.analysis.attention.scores import AttentionView, attention_at
from tracetui.analysis.experts.choice import margins
from tracetui.analysis.experts.load import Load, expert_load
from tracetui.analysis.experts.routing import BlockRouting, read_routing, sibling
from tracetui.expr.errors import UntoldError
from tracetui.recording.health import all_finite, may_hide, near_limit_share
from tracetui.recording.ranks.overlaps import read_here
from tracetui.recording.record import Record, layer_path
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, Index, NotKeptError, Value

_ROUTINGS = 4
"""How many blocks' choices are remembered: the records of one block come together."""


class TraceScope:
    """A trace, growing or whole, and what was lately computed over it. Used by one thread."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._routings: OrderedDict[int, BlockRouting] = OrderedDict()

    def moment(self, record: Record) -> RecordScope:
        return RecordScope(self, record, self.trace.value(record))

    def matrix(self, key: Record, kind: Kind) -> RecordScope | None:
        """The matrix of an attention call, by its `…:k`, that was not recorded; None where it can't be computed."""
        computed = matrix_at(self.trace, key, kind)
        return None if computed is None else RecordScope(self, *computed)

    def routing(self, record: Record) -> BlockRouting:
        """The choice of a `…:experts` record."""
        if (choice := self._routings.get(record.index)) is None:
            choice = self._routings[record.index] = read_routing(self.trace, record)
            if len(self._routings) > _ROUTINGS:
                self._routings.popitem(last=False)
        return choice


class RecordScope:
    """One record of a trace. Every question raises UntoldError where there is no answer, RunError as values do."""

    def __init__(self, trace_scope: TraceScope, record: Record, value: Value) -> None:
        self.trace_scope = trace_scope
        self.record = record
        self._value = value

    @property
    def trace(self) -> Trace:
        return self.trace_scope.trace

    @cached_property
    def previous(self) -> RecordScope:
        """The same site in the layer before, in the same pass and call."""
        record, before = self.record, (self.record.layer or 0) - 1
        if record.layer is None or before < 0:
            raise UntoldError("there is no layer before")
        path = layer_path(record.site)
        stem = path.rpartition(".")[0]
        before_key = self.trace.find(f"{stem}.{before}{record.site[len(path) :]}{record.ending}")
        if before_key is not None:
            return self.trace_scope.moment(before_key)
        module = f"{stem}.{before}{record.module[len(path) :]}"
        key = self.trace.find(f"{module}:k{record.ending}") if record.role in KINDS else None
        computed = None if key is None else self.trace_scope.matrix(key, cast(Kind, record.role))
        if computed is None:
            raise UntoldError(f"layer {before} has no such site")
        return computed

    @cached_property
    def finite(self) -> bool:
        return all_finite(self._value)

    @cached_property
    def statistics(self) -> Statistics:
        return self._value.statistics()

    def number(self, name: str) -> float:
        """A plain name's value."""
        match name:
            case "nan":
                return 0 if self.finite else self.statistics.nan
            case "inf":
                return 0 if self.finite else self._infinite()
            case "layer" if self.record.layer is None:
                raise UntoldError("this lies in no layer")
            case "layer" | "pass_" | "numel":
                return int(getattr(self.record, name))
            case "step":
                return self.record.index
            case "margin":
                return self._margin()
            case "near_limit":
                return self._near_limit()
        return self._over_finite(name)

    def _over_finite(self, name: str) -> float:
        statistics = self.statistics
        if not statistics.finite_count and name != "zeros":
            raise UntoldError("no element is finite" if statistics.numel else "it has no elements")
        return statistics.l2 if name == "norm" else float(getattr(statistics, name))

    def _near_limit(self) -> float:
        try:
            return near_limit_share(self.record, self._value)
        except NotKeptError:
            # Of how many can't be told, but the largest is one.
            return 1 / max(1, self.record.numel)

    def _infinite(self) -> int:
        statistics = self.statistics
        return statistics.posinf + (0 if may_hide(self.record) else statistics.neginf)

    def part(self, index: Index) -> Array:
        """A part of the values; of a tensor that lies on several ranks, what is here of that part of the whole."""
        place = self.record.place
        try:
            part = read_here(self._value, place, index) if place.shards else self._value.read(index)
        except IndexError:
            shape = list(place.whole_shape(self.record.shape))
            raise UntoldError(f"the shape {shape} has no such place") from None
        if part is None:
            raise UntoldError("this place lies on another rank")
        return part

    def called(self, name: str, argument: int | None) -> float:
        """What a call of a name gives."""
        if name == "entropy":
            return self._entropy(argument)
        routing = self.routing
        if argument is not None and not argument < routing.count:
            raise UntoldError(f"there are experts 0–{routing.count - 1}")
        load = self._load
        if name == "load":
            return float(load.shares.max(initial=0.0) if argument is None else load.shares[argument])
        return int((routing.experts == argument).any(axis=1).sum())

    @cached_property
    def routing(self) -> BlockRouting:
        """How the block around the record chose."""
        path = self.record.module
        while path:
            choice = sibling(self.trace, self.record, f"{path}:experts")
            if choice is not None and choice.index <= self.record.index:
                return self.trace_scope.routing(choice)
            path = path.rpartition(".")[0]
        raise UntoldError("no choice of experts was recorded here, or not yet")

    @cached_property
    def _load(self) -> Load:
        return expert_load(*self.routing.taken)

    def _margin(self) -> float:
        routing = self.routing
        if routing.criterion is None:
            raise UntoldError("the router's scores were not recorded")
        if not len(routing):
            raise UntoldError("no token was routed")
        return float(margins(routing.criterion, routing.experts).min())

    @cached_property
    def _attention(self) -> AttentionView:
        view = attention_at(self.trace, self.record)
        if view is None or view.key.index > self.record.index:
            raise UntoldError("no attention was recorded here, or not yet")
        return view

    def _entropy(self, head: int | None) -> float:
        """Mean over real queries, and over all heads where none is given, in bits."""
        view = self._attention
        if head is not None and head >= view.heads:
            raise UntoldError(f"there are heads 0–{view.heads - 1}")
        heads = range(view.heads) if head is None else (head,)
        lengths = [len(row) for row in self.trace.tokens] if not self.record.pass_ else []
        entropies = [
            _row_entropies(view.matrix("probs", one, batch))[: lengths[batch] if batch < len(lengths) else None]
            for one in heads
            for batch in range(view.batch)
        ]
        return float(np.concatenate(entropies).mean())


def _row_entropies(probabilities: Array) -> Array:
    """[T] in bits, of rows [T,S]."""
    wide = probabilities.astype(np.float64)  # [T,S]
    logs = np.log2(wide, out=np.zeros_like(wide), where=wide > 0)  # [T,S]
    return np.asarray(-(wide * logs).sum(axis=-1))
