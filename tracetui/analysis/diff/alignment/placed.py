"""A trace as it stands beside another with the same tokens in other rows, at other positions or in other passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from tracetui.analysis.axes import axes_of
from tracetui.analysis.diff.alignment.caches import ROLES, keys_lost, windows_of
from tracetui.analysis.diff.alignment.gather import Gather, GatheredValue
from tracetui.analysis.diff.alignment.placement import Common, Placement, is_state, is_turned, longer_axes
from tracetui.analysis.diff.routing.routed import chooses
from tracetui.recording.record import INPUT, UNRECORDED, AttentionCall, Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import StatisticsValue, Value, is_kept

_UNNAMED = "d0"
"""What a tensor's first axis is called where nothing tells what its role's axes are."""


def placed(common: Common, a: Trace, b: Trace) -> tuple[Trace, Trace]:
    """Both traces with the rows and positions that they have in common, pass by pass."""
    moved = (
        _Placing(a, b, common.a, common).trace() if _moves(common.a, common) else a,
        _Placing(b, a, common.b, common).trace() if _moves(common.b, common) else b,
    )
    longest = max(moved, key=lambda trace: sum(trace.generated))
    if not common.whole or not all(trace.tokens and _begins(longest, trace) for trace in moved):
        return moved
    return (
        replace(moved[0], tokens=longest.tokens, generated=longest.generated),
        replace(moved[1], tokens=longest.tokens, generated=longest.generated),
    )


def _begins(longest: Trace, trace: Trace) -> bool:
    """Whether each row of a trace is the beginning of the same one of another."""
    rows = zip(trace.tokens, longest.tokens, strict=True)
    return all([token.id for token in row] == [token.id for token in other[: len(row)]] for row, other in rows)


def _moves(place: Placement, common: Common) -> bool:
    return place.spare or not _stays(place, common)


def _stays(place: Placement, common: Common) -> bool:
    """Whether a side's rows and positions are those that both have."""
    everything = place.rows == tuple(range(place.batch)) and not any(place.padded)
    one_by_one = all(count == 1 for count in place.later)
    return everything and one_by_one and place.passes == common.passes and max(common.lengths) == place.width


def _counts(record: Record) -> bool:
    """Whether a module returned whole numbers: they may be positions, others elsewhere. Not the experts chosen."""
    return record.dtype.startswith(("int", "uint")) and not record.role and not chooses(record.key)


class _Placing:
    """Makes one side's trace anew."""

    def __init__(self, trace: Trace, other: Trace, place: Placement, common: Common) -> None:
        self._trace = trace
        self._other = other
        self._place = place
        self._common = common
        self._config: Mapping[str, object] = {**other.run.config, **trace.run.config}
        self._records: list[Record] = []
        self._values: list[Value] = []
        self._attention: dict[str, AttentionCall] = {}
        self._known: dict[tuple[int, Gather], Value] = {}
        self._windows = windows_of(trace, other)
        self._keys_alone = _stays(place, common)
        """Whether nothing but keys is left out."""

    def trace(self) -> Trace:
        for pass_ in range(self._common.passes):
            self._add_pass(pass_)
        tokens, made = self._trace.tokens, self._common.passes - 1
        rows = [
            tokens[row][left + self._place.past :] if tokens else ()
            for row, left in zip(self._place.rows, self._place.padded, strict=True)
        ]
        # Where another token follows, that is told of the prompts.
        if self._common.whole:
            rows = [row[: length + made] for row, length in zip(rows, self._common.lengths, strict=True)]
        return replace(
            self._trace,
            tokens=tuple(rows) if tokens else (),
            records=tuple(self._records),
            values=tuple(self._values),
            attention=self._attention,
            generated=tuple(len(row) - length for row, length in zip(rows, self._common.lengths, strict=True))
            if (made or not self._common.whole) and tokens
            else (),
        )

    def _add_pass(self, pass_: int) -> None:
        from_pass = pass_ if self._place.passes > 1 else 0
        numbers: dict[int, int] = {}
        for record in self._trace.records:
            if record.pass_ != from_pass:
                continue
            value = self._value(record, pass_)
            if value is None:
                continue
            numbers[record.index] = len(self._records)
            inputs = tuple(numbers.get(index, min(index, UNRECORDED)) for index in record.inputs)
            moved = replace(
                record, index=len(self._records), shape=value.shape, pass_=pass_, inputs=inputs, seconds=None
            )
            self._records.append(moved)
            self._values.append(value)
            if (call := self._trace.attention.get(record.key)) is not None:
                # All keys that are left are seen by the one position of a later pass.
                self._attention[moved.key] = replace(call, is_causal=call.is_causal and not pass_)

    def _value(self, record: Record, pass_: int) -> Value | None:
        value = self._trace.value(record)
        if _counts(record) or (is_state(record) and not self._ends(pass_)):
            return None
        if self._common.padding_counts and is_turned(record):
            return None
        gather = self._gather(record, pass_)
        if gather is None:
            return None
        # One tensor may be a module's output, of which a pass has its own positions, and keys, of which it has all.
        known = (id(value), gather)
        if known not in self._known:
            if not is_kept(value):
                return StatisticsValue(value.shape, value.dtype, value.statistics())
            self._known[known] = GatheredValue(value, gather) if gather.rows or gather.axes else value
        return self._known[known]

    def _gather(self, record: Record, pass_: int) -> Gather | None:
        """The part of a record that is compared; None where it is unknown which of its axes count tokens.

        If its axes can be read in several ways, the one that gives the other side's shape is used.
        """
        other = self._other.find(self._key(record, pass_))
        if self._keys_alone:
            return self._without_spare(record, pass_, other)
        ways = [way for names in self._names(record) if (way := self._way(record, pass_, names)) is not None]
        if other is None or len(ways) < 2 or _moves(self._other_place, self._common):
            # Where the other side's is cut as well, its shape tells nothing.
            return ways[0] if ways else None
        blank = np.broadcast_to(np.False_, record.shape)
        return next((way for way in ways if way.apply(blank).shape == other.shape), None)

    def _without_spare(self, record: Record, pass_: int, other: Record | None) -> Gather | None:
        """Of the one axis that is longer than the other side's, the places of keys that were seen; else all."""
        longer = [] if other is None else longer_axes(record.shape, other.shape)
        names = ["S" if axis in longer else "d" for axis in range(len(record.shape))]
        return self._way(record, pass_, ["B", *names[1:]]) if len(longer) == 1 else Gather((), (), batch=False)

    def _key(self, record: Record, pass_: int) -> str:
        """What the other side calls it."""
        theirs = self._other_place
        return replace(record, pass_=pass_ if theirs.passes > 1 else 0).key

    def _way(self, record: Record, pass_: int, names: Sequence[str]) -> Gather | None:
        if not {"B", "T", "S", "N"} & set(names):
            return Gather((), (), batch=False)
        queries = tuple(self._queries(pass_))
        if names[0] == "N":
            return self._gather_joined(record, queries)
        batch = names[0] == "B" and record.shape[0] == self._place.batch
        axes = [(at, queries) for at, name in enumerate(names) if name == "T"]
        if any(name == "S" and self._has_other_keys(record, at) for at, name in enumerate(names)):
            return None
        axes += [(at, tuple(self._keys(record, pass_, at))) for at, name in enumerate(names) if name == "S"]
        if any(max(max(row, default=-1) for row in places) >= record.shape[at] for at, places in axes):
            return None
        if names[0] == "B" and ((not batch and len(set(queries)) > 1) or (batch and self._one_for_all(record, pass_))):
            # One row for the whole batch, here or there, whose rows begin elsewhere.
            return None
        if not axes and not (self._ends(pass_) and self._is_as_wide(record, pass_)):
            # Of no position of its own: what all that were seen have come to, as a state.
            return None
        return Gather(self._place.rows if batch else (), tuple(axes), batch=batch)

    def _ends(self, pass_: int) -> bool:
        """Whether both sides' passes have seen the positions that are compared and no others."""
        return all(place.ends_with(self._common.lengths, pass_) for place in (self._common.a, self._common.b))

    def _is_as_wide(self, record: Record, pass_: int) -> bool:
        """Whether the other side's is as long along all axes but the first."""
        other = self._other.find(self._key(record, pass_))
        return other is None or record.shape[1:] == other.shape[1:]

    def _one_for_all(self, record: Record, pass_: int) -> bool:
        """Whether the other side has one row for its whole batch, as of angles that all prompts share."""
        other, theirs = self._other.find(self._key(record, pass_)), self._other_place
        return other is not None and len(other.shape) == len(record.shape) and other.shape[0] == 1 < theirs.batch

    @property
    def _other_place(self) -> Placement:
        return self._common.b if self._place is self._common.a else self._common.a

    def _gather_joined(self, record: Record, queries: tuple[tuple[int, ...], ...]) -> Gather | None:
        if ".experts." in record.module:
            # The tokens of one expert, in an order of its own.
            return None
        width = self._width(record)
        if record.shape[0] == width and self._place.batch > 1:
            return Gather((), ((0, queries[:1]),), batch=False)
        if self._place.batch * width != record.shape[0]:
            # Of several rows for each token nobody knows whether they stand together, or one expert's do.
            return None
        split = (self._place.batch, width, *record.shape[1:])
        return Gather(self._place.rows, ((1, queries),), split, joined=True)

    def _width(self, record: Record) -> int:
        """Positions that the record's pass computed."""
        return self._place.computed(record.pass_)

    def _queries(self, pass_: int) -> Iterator[tuple[int, ...]]:
        """Of each row the places of a pass's positions along the tokens' axis."""
        most = max(self._common.lengths)
        for left, length in zip(self._place.padded, self._common.lengths, strict=True):
            if self._place.passes > 1 and pass_:
                yield (self._place.computed(pass_) - 1,)
            elif pass_:
                yield (left + length + pass_ - 1,)
            else:
                yield tuple(left + self._place.past + at if at < length else -1 for at in range(most))

    def _keys(self, record: Record, pass_: int, axis: int) -> Iterator[tuple[int, ...]]:
        """Of each row the places of the positions that a pass sees along an axis of keys.

        A sliding window leaves the last of them in a cache, a cache of fixed length has more places than keys. Keys
        that a cache lost are zeros.
        """
        most = max(self._common.lengths) + self._place.past + pass_
        theirs = self._other_place
        other = self._other.find(self._key(record, pass_))
        own = min(most, record.shape[axis] - min(self._place.padded))
        alike = other is not None and len(other.shape) == len(record.shape)
        held = other.shape[axis] - min(theirs.padded) if other is not None and alike else most
        count = max(0, min(own, held))
        if record.role in ROLES and pass_ and max(own, held) >= most and keys_lost(count, most, self._windows):
            count = most
        for left, length in zip(self._place.padded, self._common.lengths, strict=True):
            seen = range(most - count, most)
            yield tuple(
                max(left + at - (most - own), -1) if pass_ or at < length + self._place.past else -1 for at in seen
            )

    def _has_other_keys(self, record: Record, axis: int) -> bool:
        """Whether there are more keys than positions, and no cache's empty places: some layers compress keys."""
        positions = self._place.width + (record.pass_ if self._place.passes > 1 else 0)
        return record.shape[axis] > positions and self._grows

    @cached_property
    def _grows(self) -> bool:
        """Whether the run's cache has no empty places: some layer's keys are as many as the prompts' positions."""
        keys = (record.shape for record in self._trace.records if record.role == "k" and not record.pass_)
        return any(len(shape) > 1 and shape[-2] == self._place.width for shape in keys)

    def _names(self, record: Record) -> list[list[str]]:
        """The ways to name a record's axes, as far as tokens and batch go, the likeliest first; none if none is one."""
        names = [axis.name for axis in axes_of(record, self._config)]
        if not names or names[0] == "n":
            return [] if names else [names]
        if len(names) >= 3 and (record.role in ("", INPUT) or names[0] == _UNNAMED):
            found = list(self._of_shape(record))
        else:
            found = [names]
        return [way for way in map(partial(self._fitting, record), found) if way]

    def _fitting(self, record: Record, names: list[str]) -> list[str]:
        """The names, where the record's lengths are those of this side; else none."""
        at = names.index("T") if "T" in names else None
        if at is not None and record.shape[at] != self._width(record):
            # Logits of the last position alone.
            return ["one" if name == "T" else name for name in names] if record.shape[at] == 1 else []
        return [] if names[0] == "B" and record.shape[0] not in (1, self._place.batch) else names

    def _of_shape(self, record: Record) -> Iterator[list[str]]:
        """Of what a module was given or returned: batch first, then where there are as many as tokens."""
        width, rank = self._width(record), len(record.shape)
        tokens = [at for at in range(1, rank) if record.shape[at] == width]
        scores = [["B", "d", "T", "S"]] if rank == 4 and record.shape[-2] == width else []
        if record.shape[-1] == width:
            yield from scores
        for at in [place for place in tokens if place < rank - 1]:
            yield ["B", *("T" if place == at else "d" for place in range(1, rank))]
        if record.shape[-1] != width:
            yield from scores
        for at in tokens:
            yield ["B", *("S" if place == at else "d" for place in range(1, rank))]
        if not tokens or tokens == [rank - 1]:
            yield ["B", *("d" for _ in range(rank - 1))]
