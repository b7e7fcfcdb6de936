"""A text log of llama.cpp's graph as a trace of which little is known: the ends of each tensor's axes, and its sum."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np

from tracetui.formats.graph_log import PrintedTensor, names_apart, read_graph_log
from tracetui.recording.dumps.values import NamedValue, dump_trace
from tracetui.recording.statistics import without_finite
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, Index, StatisticsValue, Value


class PrintedValue(StatisticsValue):
    """A tensor that was printed; it counts as one whose values weren't kept."""

    __slots__ = ("printed",)

    def __init__(self, printed: PrintedTensor) -> None:
        super().__init__(printed.shape, printed.dtype, without_finite(prod(printed.shape)))
        self.printed = printed

    def read(self, index: Index = ()) -> Array:
        """What was printed, in its place; all else is NaN."""
        return np.array(self.printed.placed()[index])


def is_printed(value: Value) -> bool:
    """Whether a log has but the ends of a tensor's axes."""
    return isinstance(value, PrintedValue)


def read_log_dump(path: Path) -> Trace:
    """The first run of the graph in a log. Raises InputError naming the line that is wrong."""
    named = [NamedValue(name, PrintedValue(tensor)) for name, tensor in names_apart(read_graph_log(path))]
    return dump_trace(named)
