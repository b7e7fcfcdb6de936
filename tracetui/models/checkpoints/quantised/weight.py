"""A weight that is made of several tensors of a file, a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import NoReturn

import torch

from tracetui.errors import InputError, bad_field
from tracetui.models.checkpoints.weight_file import StoredTensor
from tracetui.models.weights.memory import empty_weight
from tracetui.models.weights.sources import Tick

SCALE_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_ELEMENTS_AT_ONCE = 2**19
"""So many are made before they go to where the weight is put together."""

Values = Callable[[Sequence[int]], torch.Tensor]
"""From places along one axis to the float32 values [n,…] there, the other axes in their order."""


@dataclass(frozen=True, eq=False, slots=True)
class PackedWeight:
    """A weight in fewer bits: its shape, and how its values are made."""

    form: str
    """`GPTQ, 4 bits`."""
    shape: tuple[int, ...]
    begin: Callable[[], Values]
    """Reads the scales. Raises InputError if they are no numbers to multiply by."""
    axis: int = 0
    """Along which of the weight's axes places are asked for: 0, or 1 of a matrix."""
    multiple: int = 1
    """Places are asked for in runs that begin at multiples of this, for axis 1."""
    is_linear: bool = True
    """Whether a matrix stands as [outputs, inputs] in the file, whichever way the module that reads it has it."""
    label: str = ""
    """What the file calls the tensor that tells of the form, for messages."""
    parts: Mapping[str, StoredTensor] = field(default_factory=dict)
    """The tensors that it is made of, by what they are to it."""

    def transposed(self) -> PackedWeight:
        """The same matrix [O,I] as [I,O]."""
        return replace(self, shape=self.shape[::-1], axis=1 - self.axis)

    def converted(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        """The weight, or its named rows in that order, rounded once to a dtype."""
        values = self.begin()
        return (self._by_columns if self.axis else self._by_rows)(values, rows, dtype, tick)

    def _by_rows(self, values: Values, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        places: Sequence[int] = range(self.shape[0]) if rows is None else rows
        out = empty_weight((len(places), *self.shape[1:]), dtype)  # [rows,…]
        step = max(1, _ELEMENTS_AT_ONCE // max(1, prod(self.shape[1:])))
        for start in range(0, len(places), step):
            part = out[start : start + step]
            part.copy_(values(places[start : start + step]))
            tick(part.numel() * dtype.itemsize)
        return out

    def _by_columns(self, values: Values, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        height, width = self.shape
        out = empty_weight((height if rows is None else len(rows), width), dtype)  # [rows,I]
        step = max(1, _ELEMENTS_AT_ONCE // max(1, height) // self.multiple) * self.multiple
        for start in range(0, width, step):
            made = values(range(start, min(start + step, width)))  # [i,O]
            part = out[:, start : start + step]  # [rows,i]
            part.copy_((made if rows is None else made[:, list(rows)]).t())
            tick(part.numel() * dtype.itemsize)
        return out


@dataclass(frozen=True, eq=False, slots=True)
class StoredParts:
    """The tensors of a file that one weight is made of, by what they are to it."""

    stored: Mapping[str, StoredTensor]
    labels: Mapping[str, str]
    """What the file calls each of them, for messages."""
    texts: Mapping[str, bytes]
    """The bytes of those that are read before the weight's shape is known."""

    def __getitem__(self, role: str) -> StoredTensor:
        return self.stored[role]

    def __contains__(self, role: str) -> bool:
        return role in self.stored

    def fail(self, role: str, problem: str, got: object | None = None) -> NoReturn:
        """Raises InputError about one of the tensors."""
        raise self.error(role, problem, got)

    def error(self, role: str, problem: str, got: object | None = None) -> InputError:
        return bad_field(self.stored[role].file.path, self.labels[role], problem, got)

    def check(self, role: str, dtypes: Sequence[torch.dtype], *shapes: Sequence[int]) -> None:
        """Raises InputError unless a tensor is of one of these dtypes, and of one of the shapes where there are any."""
        tensor = self.stored[role]
        if tensor.dtype not in dtypes:
            self.fail(role, f"must be {' or '.join(map(dtype_text, dtypes))}", dtype_text(tensor.dtype))
        if shapes and tensor.shape not in map(tuple, shapes):
            fitting = " or ".join(str(list(shape)) for shape in dict.fromkeys(map(tuple, shapes)))
            self.fail(role, f"must be of the shape {fitting}", list(tensor.shape))

    def matrix(self, role: str, dtypes: Sequence[torch.dtype]) -> tuple[int, int]:
        """The shape of a matrix of one of these dtypes that has elements. Raises InputError."""
        self.check(role, dtypes)
        shape = self.stored[role].shape
        if len(shape) != 2 or 0 in shape:
            self.fail(role, "must be a matrix with elements", list(shape))
        return shape[0], shape[1]

    def scales(self, role: str) -> torch.Tensor:
        """A tensor of scales in float32. Raises InputError if one of them isn't finite."""
        scale = self.stored[role].whole().float()
        self.check_finite(role, scale)
        return scale

    def check_finite(self, role: str, scale: torch.Tensor) -> None:
        """Raises InputError if one of the scales, as they are in float32, isn't finite."""
        if not torch.isfinite(scale).all():
            place = (~torch.isfinite(scale)).nonzero()[0].tolist()
            value = scale[tuple(place)].item()
            self.fail(role, "must be of finite scales", f"{value} at {place}")

    def check_order(self, role: str, groups: int, is_ordered: bool) -> None:
        """Raises InputError where groups are of inputs in another order, and no table is there that has it."""
        if is_ordered and groups > 1 and "g_idx" not in self.stored:
            self.fail(role, "is of groups in the order of activations by the configuration, and no g_idx is there")

    def groups(self, role: str, inputs: int, groups: int) -> torch.Tensor | None:
        """The group of each input [I] by a table of the file; None where it has none. Raises InputError."""
        if role not in self.stored:
            return None
        table = self.stored[role].whole().long()  # [I]
        if inputs and not 0 <= int(table.min()) <= int(table.max()) < groups:
            self.fail(role, f"must name groups from 0 to {groups - 1}", [int(table.min()), int(table.max())])
        return table


def group_size(parts: StoredParts, role: str, inputs: int, groups: int, configured: int | None = None) -> int:
    """How many inputs share a scale where they follow each other.

    configured: by the configuration, which the last group may be shorter than; 0 or less for one group of all. Where
    it doesn't fit, as of a layer of its own size, or is None, all groups are of one size. Raises InputError.
    """
    size = inputs if configured is not None and configured <= 0 else configured
    if size and -(-inputs // size) == groups:
        return size
    if inputs % groups:
        parts.fail(role, f"must have scales for each group of {inputs} inputs", groups)
    return inputs // groups


def dtype_text(dtype: torch.dtype) -> str:
    """`int32`."""
    return str(dtype).removeprefix("torch.")
