"""The index of a torch.save file: which tensor lies how in which record, read without calling anything.

A pickle is a program for a small stack machine. What torch.save writes for a state dict needs some thirty of
its instructions and a handful of names; this reader knows no others, and where the program would call one of
those names it notes down what the call says. Nothing is imported, and no tensor is made.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracetui.errors import InputError, bad_field
from tracetui.text import visible

MAX_PICKLE_BYTES = 4 * 2**20
_MAX_AXES = 8
_MAX_INT = 2**62
_DTYPES = {
    "BFloat16Storage": ("bfloat16", 2),
    "HalfStorage": ("float16", 2),
    "FloatStorage": ("float32", 4),
    "DoubleStorage": ("float64", 8),
    "ByteStorage": ("uint8", 1),
    "CharStorage": ("int8", 1),
    "ShortStorage": ("int16", 2),
    "IntStorage": ("int32", 4),
    "LongStorage": ("int64", 8),
    "BoolStorage": ("bool", 1),
    "ComplexFloatStorage": ("complex64", 8),
    "ComplexDoubleStorage": ("complex128", 16),
}
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_DICT = "collections OrderedDict"
_LITERALS = ("BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINSTRING")
_OF_FEWER_BITS = ("_rebuild_qtensor", "torchao.", "bitsandbytes.", "Float8_", "QInt8Storage", "QUInt8Storage")
"""In the names of what only quantised tensors are made with."""
_GLOBALS = frozenset({_TENSOR, _PARAMETER, _DICT, *(f"torch {name}" for name in _DTYPES)})


@dataclass(frozen=True, slots=True)
class StorageLayout:
    """One record of values that tensors lie in."""

    record: str
    """Its name in the archive: `data/0`."""
    dtype: str
    itemsize: int
    numel: int

    @property
    def nbytes(self) -> int:
        return self.numel * self.itemsize


@dataclass(frozen=True, slots=True)
class TensorLayout:
    """One tensor: a window on a storage, counted in elements."""

    storage: StorageLayout
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    @property
    def numel(self) -> int:
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def reach(self) -> int:
        """One more than the last element of the storage that the tensor touches; 0 if it is empty."""
        if not self.numel:
            return 0
        return self.offset + 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))


def read_layouts(program: bytes, path: Path) -> dict[str, TensorLayout]:
    """The tensors of a state dict by name, from its `data.pkl`; `path` is named in messages.

    Raises InputError for anything but a flat dict of tensors, and for tensors that claim more than their storage.
    """
    try:
        layouts = _Machine(path).run(program)
    except InputError:
        raise
    except Exception as error:  # a program that is cut, or takes from an empty stack
        raise InputError(f"{path}: data.pkl: is damaged ({type(error).__name__})") from None
    if not isinstance(layouts, dict):
        raise bad_field(path, "data.pkl", f"must hold a dict of tensors, got {_kind(layouts)}")
    for name, layout in layouts.items():
        _check_tensor(name, layout, path)
    return layouts


def _check_tensor(name: str, layout: object, path: Path) -> None:
    name_text = visible(name, 80)
    if isinstance(layout, dict):
        raise bad_field(
            path, name_text, f"must be a tensor, got a dict of {len(layout)}; save that dict alone as the file"
        )
    if not isinstance(layout, TensorLayout):
        raise bad_field(path, name_text, f"must be a tensor, got {_kind(layout)}")
    sizes = (layout.offset, layout.storage.numel, layout.numel, *layout.shape, *layout.strides)
    if len(layout.shape) != len(layout.strides) or len(layout.shape) > _MAX_AXES or not all(map(_is_size, sizes)):
        raise bad_field(path, name_text, "its shape, strides or offset make no tensor")
    if layout.reach > layout.storage.numel:
        raise bad_field(
            path, name_text, f"reaches {layout.reach:,} elements into a storage of {layout.storage.numel:,}"
        )


def _is_size(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < _MAX_INT


def _kind(value: object) -> str:
    if isinstance(value, _Global | StorageLayout):
        return "a part of one"
    return "None" if value is None else f"a {type(value).__name__}"


@dataclass(frozen=True, slots=True)
class _Global:
    """A name that the program imports: module and name, parted by a blank."""

    name: str


class _Machine:
    """Runs a program of the instructions in `_do`; any other is refused."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack: list[object] = []
        self._below: list[list[object]] = []
        self._memo: dict[int, object] = {}
        self._storages: dict[str, StorageLayout] = {}
        self._do: dict[str, Callable[[Any], None]] = {
            "PROTO": self._protocol,
            "MARK": self._mark,
            "GLOBAL": self._global,
            "REDUCE": self._reduce,
            "BUILD": self._build,
            "BINPERSID": self._storage,
            "SETITEM": lambda _: self._set(self._pop(2)),
            "SETITEMS": lambda _: self._set(self._since_mark()),
            "APPEND": lambda _: self._extend(self._pop(1)),
            "APPENDS": lambda _: self._extend(self._since_mark()),
            "TUPLE": lambda _: self._push(tuple(self._since_mark())),
            "TUPLE1": lambda _: self._push(tuple(self._pop(1))),
            "TUPLE2": lambda _: self._push(tuple(self._pop(2))),
            "TUPLE3": lambda _: self._push(tuple(self._pop(3))),
            "NONE": lambda _: self._push(None),
            "NEWTRUE": lambda _: self._push(True),
            "NEWFALSE": lambda _: self._push(False),
            "EMPTY_TUPLE": lambda _: self._push(()),
            "EMPTY_LIST": lambda _: self._push([]),
            "EMPTY_DICT": lambda _: self._push({}),
            "BINPUT": self._remember,
            "LONG_BINPUT": self._remember,
            "BINGET": lambda index: self._push(self._memo[index]),
            "LONG_BINGET": lambda index: self._push(self._memo[index]),
            **dict.fromkeys(_LITERALS, self._push),
        }

    def run(self, program: bytes) -> object:
        """What the program leaves on the stack."""
        for instruction, argument, _ in pickletools.genops(program):
            if instruction.name == "STOP":
                break
            if instruction.name not in self._do:
                raise self._bad(f"uses the instruction {instruction.name}, which torch.save doesn't write")
            self._do[instruction.name](argument)
        return self._stack.pop()

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _pop(self, count: int) -> list[object]:
        if len(self._stack) < count:
            raise self._bad("is damaged: it takes from an empty stack")
        top = self._stack[-count:]
        del self._stack[-count:]
        return top

    def _mark(self, _: object) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[object]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _remember(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _protocol(self, version: int) -> None:
        if version != 2:
            raise self._bad(f"is written in pickle protocol {version}, torch.save's own is 2")

    def _global(self, name: str) -> None:
        if name not in _GLOBALS:
            dotted = visible(name.replace(" ", ".", 1), 80)
            if any(word in name for word in _OF_FEWER_BITS):
                advice = "tracetui doesn't read it; --weights random runs the model without it"
                raise self._bad(f"the weights are quantised, {dotted}; {advice}")
            raise self._bad(f"asks for {dotted}, which a plain state dict doesn't need; nothing of it was run")
        self._push(_Global(name))

    def _reduce(self, _: object) -> None:
        called, arguments = self._pop(2)
        name = called.name if isinstance(called, _Global) else ""
        match (name, arguments):
            case (str(name), ()) if name == _DICT:
                self._push({})
            case (str(name), (StorageLayout() as storage, int(offset), tuple(shape), tuple(strides), *_)) if (
                name == _TENSOR
            ):
                self._push(TensorLayout(storage, offset, shape, strides))
            case (str(name), (TensorLayout() as tensor, *_)) if name == _PARAMETER:
                self._push(tensor)
            case _:
                raise self._bad("calls something that a plain state dict doesn't need; nothing of it was run")

    def _build(self, _: object) -> None:
        """A state dict's own attributes (`_metadata`) are read over."""
        target, _state = self._pop(2)
        if not isinstance(target, dict):
            raise self._bad("sets attributes of something that is no dict")
        self._push(target)

    def _storage(self, _: object) -> None:
        match self._pop(1)[0]:
            case ("storage", _Global(name), str(key), str(), int(numel)) if name.removeprefix("torch ") in _DTYPES:
                storage = StorageLayout(f"data/{key}", *_DTYPES[name.removeprefix("torch ")], numel)
            case _:
                raise self._bad("describes a storage in a way that torch.save doesn't")
        if self._storages.setdefault(key, storage) != storage:
            raise self._bad(f"describes the record data/{visible(key, 40)} in two ways")
        self._push(storage)

    def _set(self, pairs: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise self._bad("puts items into something that is no dict")
        for name, value in zip(pairs[::2], pairs[1::2], strict=True):
            # Asked before it is hashed: tuples of tuples can make that endless.
            if not isinstance(name, str):
                raise self._bad(f"every name must be a text, got {_kind(name)}")
            target[name] = value

    def _extend(self, values: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise self._bad("appends to something that is no list")
        target.extend(values)

    def _bad(self, problem: str) -> InputError:
        return InputError(f"{self._path}: data.pkl: {problem}")
