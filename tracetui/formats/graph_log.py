"""The text that llama.cpp's eval-callback example prints: of each tensor its name, its shape, the ends of its axes and
its sum.

https://github.com/ggml-org/llama.cpp/tree/master/examples/eval-callback, and common/debug.cpp
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracetui.errors import InputError, bad_field
from tracetui.formats.limits import MAX_RECORDS
from tracetui.paths import read_bounded
from tracetui.text import visible

MARKS = (b"common_debug_cb_eval:", b"ggml_debug:")
"""What a tensor's first line begins with, in newer and in older versions."""
DIGITS = 4
"""Behind the point of every value."""
MAX_BYTES = 256 << 20
_MAX_ELEMENTS = 2**28
"""Of one tensor: 512 tokens' logits over the largest vocabulary are half of it."""
_END = 3
"""Values at each end of an axis that has more than twice as many."""
_HEAD = re.compile(
    r"(?:common_debug_cb_eval|ggml_debug): +(?P<name>.*?) = \((?P<type>\w+)\) +\S.*\(.*\) = \{(?P<axes>[\d, ]+)\}\s*$"
)
_AXES = re.compile(r"[0-9]{1,12}(?:, *[0-9]{1,12}){0,3}")
_NUMBER = re.compile(r"-?(?:\d+\.\d+|nan|inf)")
_VALUES = re.compile(r"[\s\[\],.\dnaife+-]*$")
_SUM = re.compile(r"^\s*sum = (-?(?:\d+\.\d+|nan|inf))\s*$")
_DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i32": "int32", "i64": "int64"}


@dataclass(frozen=True, eq=False, slots=True)
class PrintedTensor:
    """What the log has of one tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    """As numpy has it: the reverse of llama.cpp's axes, without those of length 1 in front."""
    ends: npt.NDArray[np.float64]
    """The first and last values of each axis, or all of a short one: up to six."""
    sum: float
    """As float32 adds up one element after another."""

    def placed(self) -> npt.NDArray[np.float64]:
        """The values where they belong; NaN stands for all that the log doesn't have."""
        whole = np.full(self.shape, np.nan)
        whole[np.ix_(*(_printed(length) for length in self.shape))] = self.ends
        return whole


def is_graph_log(head: bytes) -> bool:
    """Whether a text begins like one."""
    return any(mark in head for mark in MARKS)


def read_graph_log(path: Path) -> list[PrintedTensor]:
    """The tensors in the order of the log, those of blocks of fewer bits aside. Raises InputError naming the line."""
    lines = read_bounded(path, MAX_BYTES).decode("utf-8", errors="replace").splitlines()
    heads = [(number, match) for number, line in enumerate(lines) if (match := _HEAD.search(line)) is not None]
    if len(heads) > MAX_RECORDS:
        raise InputError(f"{path}: has {len(heads):,} tensors, more than {MAX_RECORDS:,}")
    ends = [number for number, _ in heads[1:]] + [len(lines)]
    printed = (_tensor(path, lines, number, end, match) for (number, match), end in zip(heads, ends, strict=False))
    tensors = [tensor for tensor in printed if tensor is not None]
    if not tensors:
        raise InputError(f"{path}: is a log of llama.cpp's that has no values of any tensor")
    return tensors


def _tensor(path: Path, lines: list[str], number: int, end: int, head: re.Match[str]) -> PrintedTensor | None:
    """One tensor, whose first line is that of the number; None of a type whose values aren't printed."""
    dtype = _DTYPES.get(head["type"])
    if dtype is None:
        return None
    where = f"line {number + 1}: {visible(head['name'], 80)}"
    if not _AXES.fullmatch(head["axes"]):
        raise bad_field(path, where, "must have one to four axes", visible(head["axes"], 80))
    shape = _shape(head["axes"])
    if math.prod(shape) > _MAX_ELEMENTS:
        raise bad_field(path, where, f"tensors of at most {_MAX_ELEMENTS:,} elements are read", list(shape))
    values, total = _values(lines[number + 1 : end])
    sides = [len(_printed(length)) for length in shape]
    if total is None or len(values) != math.prod(sides):
        problem = f"the tensor needs {math.prod(sides):,} values and a sum; was the log cut off or changed?"
        raise bad_field(path, where, problem, f"{len(values):,}")
    return PrintedTensor(head["name"].strip(), dtype, shape, np.array(values).reshape(sides), total)


def _values(lines: list[str]) -> tuple[list[float], float | None]:
    """The numbers between the brackets, and the sum behind them; other lines of the program's may stand between."""
    values: list[float] = []
    for line in lines:
        if (total := _SUM.match(line)) is not None:
            return values, float(total[1])
        if _VALUES.match(line):
            values += map(float, _NUMBER.findall(line))
    return values, None


def _shape(axes: str) -> tuple[int, ...]:
    shape = [int(axis) for axis in axes.split(",")][::-1]
    while len(shape) > 2 and shape[0] == 1:
        del shape[0]
    return tuple(shape)


def _printed(length: int) -> list[int]:
    """The places on an axis that are printed."""
    if length <= 2 * _END:
        return list(range(length))
    return [*range(_END), *range(length - _END, length)]


def names_apart(tensors: list[PrintedTensor]) -> Iterator[tuple[str, PrintedTensor]]:
    """The tensors of the first run of the graph by name, repeats of one numbered: `Qcur-0`, `Qcur-0#1`."""
    repeats: dict[str, int] = {}
    for tensor in tensors:
        count = repeats.get(tensor.name, 0)
        if count and tensor.name in ("embd", "inp_embd"):
            return
        repeats[tensor.name] = count + 1
        yield (f"{tensor.name}#{count}" if count else tensor.name), tensor
