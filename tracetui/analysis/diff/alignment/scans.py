"""Tensors of all layers in one, along the first axis, as a scan over layers returns them: taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from tracetui.analysis.mapping.names import meaning
from tracetui.recording.record import Record, layer_of, plain_site
from tracetui.recording.statistics import Statistics, of_array
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, Index, Value, is_kept

_STACK = re.compile(r"(?:^|(?<=[./_]))(?:layers?|h|blocks?)(?=[./:]|$)(?![./]\d)")
"""The part of a name after which the layer's number would stand."""


def without_scans(a: Trace, b: Trace) -> tuple[tuple[Trace, Trace], tuple[str, ...]]:
    """Both sides with one record for each layer, and a line on which stacked tensors were split."""
    sides = (_without_scans(a, b), _without_scans(b, a))
    words = (f"{letter}'s tensors of all layers are taken apart along their first axis" for letter in "AB")
    return sides, tuple(word for word, own, was in zip(words, sides, (a, b), strict=True) if own is not was)


def _without_scans(trace: Trace, other: Trace) -> Trace:
    """Split a plain file's tensors that stack as many layers as the other side has, into one record for each layer."""
    # Names are asked for what they mean only where something may be a stack.
    if not trace.dump or not any(map(_may_be_stack, trace.records)):
        return trace
    layers = {layer for record in other.records if (layer := layer_of(_known(record))) is not None}
    if len(layers) < 2 or layers != set(range(len(layers))):
        return trace
    apart = [_apart(trace, record, len(layers)) for record in trace.records]
    if all(len(each) == 1 for each in apart):
        return trace
    # Layer by layer, as they are computed.
    ordered = [each[at] for at in range(len(layers)) for each in apart if at < len(each)]
    records = tuple(replace(record, index=index) for index, (record, _) in enumerate(ordered))
    return replace(trace, records=records, values=tuple(value for _, value in ordered))


def _may_be_stack(record: Record) -> bool:
    return len(record.shape) >= 3 and record.shape[0] > 1 and _STACK.search(record.site) is not None


def _known(record: Record) -> str:
    return plain_site(meaning(record.key, len(record.shape), set()).site)


def _apart(trace: Trace, record: Record, layers: int) -> list[tuple[Record, Value]]:
    """A record for each layer, or the one that it is."""
    value = trace.value(record)
    stack = _STACK.search(record.site)
    if stack is None or not _may_be_stack(record) or record.shape[0] != layers or not is_kept(value):
        return [(record, value)]
    return list(_of_layers(record, value, stack.end()))


def _of_layers(record: Record, value: Value, end: int) -> Iterator[tuple[Record, Value]]:
    sign = "/" if "/" in record.site else "."
    for layer in range(record.shape[0]):
        site = f"{record.site[:end]}{sign}{layer}{record.site[end:]}"
        one = replace(record, site=site, shape=record.shape[1:], depth=record.depth + 1, parent=site.rpartition(".")[0])
        yield one, _LayerValue(value, layer)


class _LayerValue:
    """One layer's part of a tensor of all."""

    def __init__(self, value: Value, layer: int) -> None:
        self._value = value
        self._layer = layer
        self._statistics: Statistics | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape[1:]

    @property
    def dtype(self) -> str:
        return self._value.dtype

    def read(self, index: Index = ()) -> Array:
        return self._value.read((self._layer, *index))

    def statistics(self) -> Statistics:
        if self._statistics is None:
            self._statistics = of_array(self.read())
        return self._statistics
