"""The inputs of each record, as the run recorded them.

A module's inputs are the records that it was given; anything else's are those of the code that computed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tracetui.recording.record import ATTN_RESIDUAL, INPUT, UNRECORDED, Record, is_layer
from tracetui.recording.trace import Trace

_CONSUMED_BY_KERNEL = ("q", "k", "v", "mask", "sinks", "scores", "masked", "probs", "kv_latent", "k_rope", "q_absorbed")
_KERNEL = "heads"
_OUTPUTS = ("logits", "output")
TOP = "the model"
"""Whose own code it is that runs around all modules."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What one record was made of."""

    records: tuple[Record, ...]
    """The nearest; what only went into other ones of them is left out."""
    code: str = ""
    """The module whose own code made it of these; empty where a module without others in it did, or it is a copy."""
    whole: bool = True
    """Whether all that went in was recorded."""
    copied: bool = False
    """Whether it is the very tensor of the one record that it was made of."""


class Flow:
    """How the records of one trace hang together. Empty where the run didn't tell."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    @cached_property
    def told(self) -> bool:
        """Whether the run told what its modules were given."""
        return any(record.inputs for record in self._trace.records)

    def origin(self, record: Record) -> Origin | None:
        """What a record was made of; None where only the meaning of its role tells."""
        if record.role and record.role != INPUT:
            return None
        if (same := self._same_values(record)) is not None:
            return Origin((same,), copied=True)
        if record.role:
            return self._made_in(self._caller(record), record)
        if not record.depth and not record.parent and record.site in _OUTPUTS:
            return self._made_in("", record)
        if not any(True for _ in self._inside(record.site, record)):
            return Origin(self._given(record), whole=all(index >= 0 for index in record.inputs))
        return self._made_in(record.site, record)

    def made_around(self, record: Record) -> Origin:
        """What the caller of a record's module had computed before, and was given itself."""
        return self._made_in(self._caller(record), record)

    def available(self, record: Record) -> Iterator[Record]:
        """All that the code which made a record had recorded before it, and was given.

        Where it was given something that no record holds, what its callers had is part of it.
        """
        code = self._code(record)
        while True:
            yield from self._had(code, record)
            returned = self._output(code, record) if code else None
            if returned is not None:
                yield from (each for each in self._given(returned) if each.index < record.index)
            if not code or (returned is not None and returned.inputs and UNRECORDED not in returned.inputs):
                return
            code = returned.parent if returned is not None else code.rpartition(".")[0]

    def _code(self, record: Record) -> str:
        """The path of the module whose code made a record."""
        if record.role:
            return self._caller(record) if record.role == INPUT else record.module
        if record.site in _OUTPUTS and not record.depth:
            return ""
        return record.site if any(True for _ in self._inside(record.site, record)) else record.parent

    def _had(self, code: str, record: Record) -> Iterator[Record]:
        """What a module, and those that it had called and that still ran, had computed or called before a record."""
        ended: set[str] = set()
        for index in range(record.index - 1, -1, -1):
            found = self._trace.records[index]
            if (found.site, found.pass_, found.call) == (record.site, record.pass_, record.call):
                continue
            if found.role == ATTN_RESIDUAL and not _within(found, code):
                continue
            if found.pass_ != record.pass_ or not _within(found, code):
                return
            path = found.parent
            while path != code and path not in ended:
                path = path.rpartition(".")[0] if path else code
            if path == code:
                yield found
            if not found.role:
                ended.add(found.site)

    def made_in(self, record: Record) -> Origin:
        """What a record of a role was made of, whatever the role means: all of its module's own before it."""
        return self._made_in(record.module, record)

    def _same_values(self, record: Record) -> Record | None:
        """The record just before this one among those that hold the very same tensor."""
        value = self._trace.value(record)
        known = self._by_value.get(id(value), ())
        return next((self._trace.records[index] for index in reversed(known) if index < record.index), None)

    @cached_property
    def _by_value(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for index, value in enumerate(self._trace.values):
            found.setdefault(id(value), []).append(index)
        return found

    @cached_property
    def _outputs(self) -> dict[tuple[str, int], list[Record]]:
        found: dict[tuple[str, int], list[Record]] = {}
        for record in self._trace.records:
            if not record.role and not record.part:
                found.setdefault((record.site, record.pass_), []).append(record)
        return found

    def _output(self, path: str, record: Record) -> Record | None:
        """What a module that was running returned, if it did."""
        later = (each for each in self._outputs.get((path, record.pass_), ()) if each.index >= record.index)
        return next(later, None)

    def _caller(self, record: Record) -> str:
        """The module in whose code another one was called."""
        returned = self._output(record.module, record)
        return returned.parent if returned is not None else record.module.rpartition(".")[0]

    def _given(self, record: Record) -> tuple[Record, ...]:
        found = dict.fromkeys(index for index in record.inputs if 0 <= index < record.index)
        return tuple(self._trace.records[index] for index in found)

    def _made_in(self, code: str, record: Record) -> Origin:
        inside = [each for each in self._inside(code, record) if each.site != record.site]
        returned = self._output(code, record) if code else None
        given = self._given(returned) if returned is not None else ()
        before = [each for each in given if each.index < record.index]
        # A layer adds to what came in, whatever else it made of it.
        stream = before[:1] if is_layer(code) and record.role != INPUT else []
        nearest = dict.fromkeys([*stream, *_nearest([*before, *reversed(inside)])])
        return Origin(tuple(nearest), code or TOP)

    def _inside(self, path: str, record: Record) -> Iterator[Record]:
        """What a module itself had computed or called before a record of the same call, latest first."""
        for index in range(record.index - 1, -1, -1):
            found = self._trace.records[index]
            if found.site == record.site and (found.pass_, found.call) == (record.pass_, record.call):
                # Another of the tensors that it returned.
                continue
            if found.role == ATTN_RESIDUAL and not _within(found, path):
                # Told of a layer as soon as a module deep inside it shows its stream.
                continue
            if found.pass_ != record.pass_ or not _within(found, path):
                return
            if found.parent == path and found.site != f"{path}:{INPUT}":
                yield found


def _within(record: Record, path: str) -> bool:
    return not path or record.parent == path or record.parent.startswith(f"{path}.")


def _nearest(records: list[Record]) -> Iterator[Record]:
    """Records that went into none of the others."""
    into = {index for record in records for index in record.inputs if not record.role}
    kernels = {record.module for record in records if record.role == _KERNEL}
    taken = {(record.site, record.call) for record in records if record.index in into}
    for record in records:
        inside_kernel = record.module in kernels and record.role in _CONSUMED_BY_KERNEL
        if not inside_kernel and (record.site, record.call) not in taken:
            yield record
