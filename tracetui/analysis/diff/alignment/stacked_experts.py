"""What all chosen experts returned in one tensor, as in mlx-lm's `switch_mlp`: taken apart into each one's rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from math import prod

import numpy as np

from tracetui.analysis.diff.alignment.gather import Gather, GatheredValue
from tracetui.analysis.mapping.spelling import dotted
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue, Value, is_kept

_STACK = re.compile(r"^(.+)\.(switch_mlp|experts)(?:\.([a-z]\w*))?$")
"""The block, its stack of experts, and a projection in them."""
_CHOICE = re.compile(
    r"^(.+?)(?:\.(?:switch_mlp|experts)(?:\.[a-z]\w*)?)?"
    r"(?:[.:](?:indices|inds|idx|experts)|\.(?:switch_mlp|experts)(?:\.[a-z]\w*)?:input#1)$"
)
"""The block whose choice a name may hold: beside the stack, or as what was given to it or to a projection in it."""
_ONE = re.compile(r"\.experts\.\d+(?:\.(\w+))?$")
_LAST = ("down_proj", "fc2")
"""The projections that make what an expert returns."""
_MOST_EXPERTS = 1 << 12
_Part = tuple[Record, Value]
_Call = tuple[str, int, int]
"""A block, a pass, a call."""


def without_stacks(a: Trace, b: Trace) -> tuple[tuple[Trace, Trace], tuple[str, ...]]:
    """Both sides with an expert's rows under its own number, and lines on what was taken apart and what couldn't be.

    A stack is a plain file's [B,T,A,D], or sorted by expert [B·T·A,D]; each with an axis of 1 before D or without.
    """
    (one, words_a), (other, words_b) = _without_stacks(a, b, "A"), _without_stacks(b, a, "B")
    return (one, other), (*words_a, *words_b)


def _without_stacks(trace: Trace, other: Trace, letter: str) -> tuple[Trace, tuple[str, ...]]:
    records = other.records if trace.dump else ()
    projections = {match[1] or "" for record in records if (match := _ONE.search(dotted(record.site)))}
    if not projections:
        return trace, ()
    side = _StackedExperts(trace, frozenset(projections))
    parts = [part for record in trace.records for part in side.apart(record)]
    words = tuple(f"{letter}'s {word}" for word in side.words)
    if len(parts) == len(trace) and all(one is other for (one, _), other in zip(parts, trace.records, strict=True)):
        return trace, words
    numbered = tuple(replace(record, index=index) for index, (record, _) in enumerate(parts))
    return replace(trace, records=numbered, values=tuple(value for _, value in parts)), words


class _StackedExperts:
    """A dump whose stacks are taken apart by the choice that it recorded."""

    def __init__(self, trace: Trace, projections: frozenset[str]) -> None:
        """projections: what the other side has in each expert; the empty one for what an expert returns."""
        self._trace = trace
        self._projections = projections
        self._stacks: dict[_Call, dict[str, Record]] = {}
        for record in trace.records:
            if (found := _stack(record)) is not None:
                self._stacks.setdefault(found[0], {})[found[1]] = record
        self._chose: set[_Call] = set()
        self.taken = False
        self._strange: set[str] = set()
        self._unordered: set[str] = set()

    @property
    def words(self) -> Iterator[str]:
        """What the report says of them."""
        if self.taken:
            yield "chosen experts in one tensor are taken apart by the choice that is recorded with it"
        for name in sorted(self._strange):
            yield (
                f"experts stand in one tensor ({name}) without the choice that tells whose its rows are: they are"
                f" not compared; record what {name} is given as {name}:input#1"
            )
        if self._unordered:
            names = ", ".join(sorted(self._unordered))
            yield f"rows of {names} don't stand by token (MLX sorts them), and nothing tells whose: not compared"

    def apart(self, record: Record) -> Iterator[_Part]:
        """An expert's rows for each expert; the record itself where it is no stack, or nothing tells whose rows."""
        own, found = (record, self._trace.value(record)), _stack(record)
        if found is None or found[0] not in self._choices:
            yield self._strange_stack(record, *found) if found is not None else own
            return
        call, projection = found
        part = self._part(call, projection)
        order = None if part is None else self._order(call, record)
        if part is None or order is None:
            yield own
            return
        self.taken = True
        yield from self._chosen(call, record)
        yield from self._rows(call, record, part, order)

    def _strange_stack(self, record: Record, call: _Call, projection: str) -> _Part:
        """A stack that nothing tells whose rows are in; not under a name that others give to the sum of its experts."""
        value, name = self._trace.value(record), dotted(record.site).rpartition(".")[2]
        last = self._last(call)
        same_rows = last is not None and prod(last.shape[:-1]) == prod(record.shape[:-1])
        if projection or not (name == "switch_mlp" or (same_rows and len(record.shape) > 2 and record.shape[-2] > 1)):
            return record, value
        self._strange.add(name)
        return (record if name == "switch_mlp" else replace(record, site=f"{record.site} (stacked)")), value

    @cached_property
    def _choices(self) -> dict[_Call, Array]:
        """The choice [B,T,A] or [N,A] of each block that has a stack as large."""
        found: dict[_Call, Array] = {}
        for record in self._trace.records:
            match = _CHOICE.match(_name(record))
            call = (match[1], record.pass_, record.call) if match else None
            if call is not None and call not in found and call in self._stacks:
                experts = self._experts(call, record)
                if experts is not None:
                    found[call] = experts
        return found

    def _experts(self, call: _Call, record: Record) -> Array | None:
        """The numbers of experts that a record holds; None where they can't be the block's choice."""
        value = self._trace.value(record)
        whole = record.dtype.startswith(("int", "uint")) and record.numel > 0
        if not whole or not is_kept(value) or not self._fits(call, record.shape):
            return None
        experts = value.read().astype(np.int64)
        return experts if experts.min() >= 0 and experts.max() < _MOST_EXPERTS else None

    def _fits(self, call: _Call, shape: tuple[int, ...]) -> bool:
        """Whether a choice [B,T,A] has a place for each row of the block's stacks.

        With one expert a token, `experts` may as well be the sum that others return under this name.
        """
        stacks = self._stacks[call].values()
        if len(shape) < 2 or (shape[-1] == 1 and any(".experts" in dotted(record.site) for record in stacks)):
            return False
        return all(prod(record.shape[:-1]) == prod(shape) for record in stacks)

    def _part(self, call: _Call, projection: str) -> str | None:
        """The projection of one expert that a stack is; empty for what the experts return, None for none of them."""
        if projection in self._projections:
            return projection
        stacks = self._stacks[call]
        whole = next((last for last in _LAST if last in stacks), "")
        return "" if projection == whole and "" not in stacks and "" in self._projections else None

    def _order(self, call: _Call, record: Record) -> Array | None:
        """Which row of a stack laid flat each place of the choice is; None where nothing tells.

        Where rows are sorted, those of one expert stand in the tokens' order, if the last projection's, put so, are
        what the stack returned.
        """
        choice = self._choices[call]
        if _stands_by_token(record, choice.shape):
            return np.arange(choice.size)
        order = choice.reshape(-1).argsort(kind="stable")
        stacks = self._stacks[call]
        last, whole = self._last(call), stacks.get("")
        if last is None or whole is None or record is whole or not self._same(last, whole, order):
            self._unordered.add(record.site.rpartition(".")[2])
            return None
        return order.argsort(kind="stable")

    def _last(self, call: _Call) -> Record | None:
        """The stack of the projection that makes what the experts return."""
        stacks = self._stacks[call]
        return next((stacks[name] for name in _LAST if name in stacks), None)

    def _same(self, last: Record, whole: Record, order: Array) -> bool:
        values = [self._trace.value(record) for record in (last, whole)]
        if last.numel != whole.numel or not all(map(is_kept, values)):
            return False
        rows, returned = (value.read().reshape(len(order), -1) for value in values)
        return bool(np.array_equal(rows, returned[order], equal_nan=True))

    def _chosen(self, call: _Call, record: Record) -> Iterator[_Part]:
        """The choice under the name that a trace gives it, once, unless the file has that too."""
        site = f"{call[0]}:experts"
        if call not in self._chose and self._trace.find(replace(record, site=site, part=0).key) is None:
            choice = self._choices[call]
            yield _made(record, site, ArrayValue(choice.reshape(-1, choice.shape[-1])))
        self._chose.add(call)

    def _rows(self, call: _Call, record: Record, part: str, order: Array) -> Iterator[_Part]:
        """Each expert's rows in the order of the tokens that chose it, with these tokens beside what it returned."""
        value, choice = self._trace.value(record), self._choices[call]
        flat = (prod(record.shape[:-1]), record.shape[-1])
        for expert in np.unique(choice).tolist() if is_kept(value) else ():
            places = np.flatnonzero(choice.reshape(-1) == expert)
            site = f"{call[0]}.experts.{expert}"
            if not part:
                yield _made(record, f"{site}:tokens", ArrayValue(places // choice.shape[-1]))
            gather = Gather((), ((0, (tuple(order[places].tolist()),)),), flat, batch=False)
            yield _made(record, f"{site}.{part}" if part else site, GatheredValue(value, gather))


def _stack(record: Record) -> tuple[_Call, str] | None:
    """The call and the projection of a record that may be a stack; None for any other."""
    found = None if record.part else _STACK.match(dotted(record.site))
    if found is None or len(record.shape) < 2 or not record.dtype.startswith(("float", "bfloat")):
        return None
    return (found[1], record.pass_, record.call), found[3] or ""


def _name(record: Record) -> str:
    return dotted(record.site) + (f"#{record.part}" if record.part else "")


def _stands_by_token(record: Record, choice: tuple[int, ...]) -> bool:
    """Whether a stack's rows are in the order of the choice: [B,T,A,D], [B,T,A,1,D], or tokens in one axis.

    With one expert a token, those with tokens in one axis look as if sorted by expert.
    """
    axes, many = record.shape[:-1], choice[-1] > 1
    ways = (axes, axes[:-1]) if axes[-1:] == (1,) else (axes,)
    rows = [(prod(choice[:-1]), choice[-1])] if many else []
    return any(way in (choice, *rows) and (many or len(way) > 2) for way in ways)


def _made(record: Record, site: str, value: Value) -> _Part:
    made = replace(record, site=site, shape=value.shape, dtype=value.dtype, part=0, parent=site.rpartition(".")[0])
    return made, value
