"""What a record was computed from: as the run recorded it, by transformers' names, or by the order of execution."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from tracetui.analysis.flow import Flow
from tracetui.analysis.health.input_names import input_names
from tracetui.recording.record import ATTN_RESIDUAL, BEFORE_EDIT, INPUT, Record
from tracetui.recording.trace import Trace


class RecordFeeds:
    """Of one trace, as far as it has grown."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._flow = Flow(trace)

    def of(self, record: Record) -> tuple[tuple[Record, ...], bool]:
        """The inputs of a record, and whether they are certain: recorded by the run, or told by names.

        Otherwise these are guesses: what was computed inside the module; else what its parent had computed before in
        the same call; else what was recorded just before the parent began.
        """
        if exact := self._given(record):
            return exact, True
        names = input_names(record.key, record.layer, _KeysBefore(self._trace, record))
        if names == ():
            return (), True
        if names:
            inputs = [_first(self._trace, alternatives, record) for alternatives in names]
            if inputs[0] is not None:
                return tuple(fed for fed in inputs if fed is not None), True
        return self._nearest(record) or _by_order(self._trace, record), False

    def possible(self, record: Record) -> tuple[Record, ...]:
        """Every record that the code behind this one may have read; no other can have fed it."""
        if not self._flow.told:
            return _inside(self._trace, record)
        if self._given(record) or input_names(record.key, record.layer, _KeysBefore(self._trace, record)) == ():
            return ()
        return self._before(tuple(self._flow.available(record)), record)

    def _nearest(self, record: Record) -> tuple[Record, ...]:
        """The last records that the code behind this one had computed or been given."""
        if not self._flow.told:
            return _inside(self._trace, record)
        origin = self._flow.origin(record)
        if origin is None:
            origin = self._flow.made_in(record)
        elif not origin.whole:
            around = self._flow.made_around(record)
            return self._before((*origin.records, *around.records), record)
        return self._before(origin.records, record)

    def _before(self, found: tuple[Record, ...], record: Record) -> tuple[Record, ...]:
        """Those that existed when the record was made, and what its cache holds of the pass before."""
        earlier: tuple[Record, ...] = ()
        if record.role and record.role != INPUT and record.pass_:
            site = f"{record.site}{f'#{record.part}' if record.part else ''}"
            last = self._trace.find(f"{site}@{record.pass_ - 1}" if record.pass_ > 1 else site)
            earlier = () if last is None else (last,)
        fed = dict.fromkeys(each.index for each in (*found, *earlier) if not each.role.endswith(BEFORE_EDIT))
        return tuple(self._trace.records[index] for index in fed if index < record.index)

    def _given(self, record: Record) -> tuple[Record, ...]:
        """What the run recorded that a module without others in it was given; nothing where it lacks any of that.

        Of a role it is the record whose very tensor this is, as of keys that layers share.
        """
        exact = record.inputs and all(0 <= index < record.index for index in record.inputs)
        if not exact or _inside(self._trace, record):
            return ()
        return tuple(self._trace.records[index] for index in dict.fromkeys(record.inputs))


class _KeysBefore:
    """The keys of the records before one, none of them looked at before it is asked for."""

    def __init__(self, trace: Trace, record: Record) -> None:
        self._trace = trace
        self._record = record

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and _first(self._trace, (key,), self._record) is not None

    def __iter__(self) -> Iterator[str]:
        return (record.key for record in islice(self._trace.records, self._record.index))

    def __len__(self) -> int:
        return self._record.index


def _first(trace: Trace, keys: tuple[str, ...], before: Record) -> Record | None:
    found = (trace.find(key) for key in keys)
    return next((record for record in found if record is not None and record.index < before.index), None)


def _by_order(trace: Trace, record: Record) -> tuple[Record, ...]:
    if inside := _inside(trace, record):
        return inside
    own = "" if record.role else record.site
    around = record.parent
    beside = [fed for fed in _within(trace, record, around) if fed.parent == around and fed.site != own]
    if beside:
        return tuple(reversed(beside))
    began = record.index - sum(1 for _ in _within(trace, record, around))
    before = trace.records[began - 1] if began else None
    # A pass before has no part in it but by what its cache and its token hand on.
    return (before,) if before is not None and before.pass_ == record.pass_ else ()


def _inside(trace: Trace, record: Record) -> tuple[Record, ...]:
    """The outputs of the modules that ran inside a module's call, and what else was recorded of them."""
    if record.role or not record.site:
        return ()
    return tuple(reversed([fed for fed in _within(trace, record, record.site) if fed.parent == record.site]))


def _within(trace: Trace, record: Record, path: str) -> Iterator[Record]:
    """The records before this one that were completed inside the running call of a module, latest first."""
    for index in range(record.index - 1, -1, -1):
        found = trace.records[index]
        inside = not path or found.parent == path or found.parent.startswith(f"{path}.")
        same = (found.site, found.pass_, found.call) == (record.site, record.pass_, record.call)
        if same or (found.role == ATTN_RESIDUAL and not inside):
            # Another of the tensors that a module returned, or told of a layer while a module deep inside it runs.
            continue
        if not inside or found.pass_ != record.pass_:
            return
        yield found
