"""Placeholders for weights that aren't in memory: one is made as soon as anything computes with it.

Modules read weights of other modules, or their own outside their forward, in more ways than can be listed. So nobody is
asked who reads what: torch asks a subclass of Tensor before it computes with it, and the weight is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeGuard

import torch
from torch import nn
from torch.nn import functional

from tracetui.errors import RunError
from tracetui.models.devices.chosen import CPU


class Lender(Protocol):
    """Has the weights."""

    def lend(self, name: str) -> torch.Tensor:
        """A whole weight, by its checkpoint name."""
        ...

    def lend_rows(self, name: str, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows of a weight that whole numbers of any shape name, and where in them each lies."""
        ...


_Function = Callable[..., Any]


def _asks(*names: str) -> frozenset[object]:
    """The functions behind attributes and methods of a tensor that tell nothing of its values."""
    found = (getattr(torch.Tensor, name) for name in names if hasattr(torch.Tensor, name))
    return frozenset(each if callable(each) else each.__get__ for each in found)


_ASKS = _asks(
    *("shape", "dtype", "device", "layout", "ndim", "nbytes", "itemsize", "requires_grad", "is_leaf"),
    *("grad", "grad_fn"),
    *("is_meta", "is_cuda", "is_cpu", "is_mps", "is_xpu", "is_sparse", "is_sparse_csr", "is_quantized", "is_mkldnn"),
    *("is_nested", "_version", "_base", "retains_grad", "output_nr"),
    *("size", "dim", "numel", "nelement", "stride", "element_size", "storage_offset", "get_device", "is_contiguous"),
    *("is_floating_point", "is_complex", "is_signed", "is_inference", "__len__", "requires_grad_"),
)
_ITSELF = _asks("data", "detach", "contiguous", "cpu")
"""What gives the same values in the same form."""
_TABLES: Mapping[object, tuple[str, ...]] = {
    functional.embedding: ("input", "weight", "padding_idx", "max_norm"),
    torch.embedding: ("weight", "indices"),
}
"""What looks rows up, and the names of its first arguments."""


class Placeholder(torch.Tensor):
    """A weight's name, shape and dtype. No memory lies behind it, so that nothing can compute with it unnoticed."""

    _name: str
    _lender: Lender

    @staticmethod
    def __new__(
        cls, name: str, built: torch.Tensor, dtype: torch.dtype, lender: Lender, device: torch.device = CPU
    ) -> Placeholder:
        """built: what stands in its place now. device: where the weight will be."""
        made: Placeholder = torch.Tensor._make_wrapper_subclass(
            cls, built.shape, dtype=dtype, device=device, requires_grad=built.requires_grad
        )
        made._name, made._lender = name, lender
        # What isinstance asks for nn.Parameter.
        made._is_param = isinstance(built, nn.Parameter)
        return made

    @classmethod
    def __torch_function__(
        cls, func: _Function, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _ASKS:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        if func in _ITSELF and len(args) == 1:
            return args[0]
        if func in _TABLES:
            return _looked_up(func, *args, **kwargs)
        if func is torch.Tensor.__getitem__ and _is_rows(args[1]):
            table, places = args[0]._lender.lend_rows(args[0]._name, args[1])  # [rows,D] [...]
            return table[places]  # [...,D]
        return func(*_lent(args), **_lent(kwargs))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: _Function, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Only what torch computes without asking comes so far. Raises RunError."""
        names = ", ".join(sorted({each._name for each in _placeholders((args, kwargs))}))
        raise RunError(f"{names}: {func} reads it where it can't be put in place; give the run memory for all weights")

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Placeholder({self._name}, {tuple(self.shape)}, {self.dtype})"


def put_placeholder(
    name: str, tensor: torch.Tensor, dtype: torch.dtype, lender: Lender, device: torch.device = CPU
) -> torch.Tensor:
    """Put a placeholder where a parameter or buffer was built without memory; returns what belongs in its slot.

    The tensor itself becomes the placeholder, so that a list or a closure in which the model has it too holds no other.
    """
    made = Placeholder(name, tensor, dtype, lender, device)
    try:
        torch.utils.swap_tensors(tensor, made)  # type: ignore[no-untyped-call]
    except RuntimeError:
        # Somebody holds it in a way that torch can't follow.
        return made
    return tensor


def _is_rows(index: object) -> TypeGuard[torch.Tensor]:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.int64, torch.int32) and index.dim() > 0


def _looked_up(func: _Function, *args: Any, **kwargs: Any) -> Any:
    """Look up rows of a table, making only these rows of its weight."""
    named = {**dict(zip(_TABLES[func], args, strict=False)), **kwargs}
    table, ids = named["weight"], named.get("input", named.get("indices"))
    if not isinstance(table, Placeholder) or not _is_rows(ids) or named.get("max_norm") is not None:
        return func(*_lent(args), **_lent(kwargs))
    rows, places = table._lender.lend_rows(table._name, ids)  # [rows,D] [...]
    return functional.embedding(places, rows)  # [...,D]


def _lent(value: Any) -> Any:
    """Arguments with the weights themselves in them."""
    if isinstance(value, Placeholder):
        return value._lender.lend(value._name)
    if isinstance(value, dict):
        return {name: _lent(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_lent(item) for item in value)
    return value


def _placeholders(value: Any) -> Iterable[Placeholder]:
    if isinstance(value, Placeholder):
        yield value
    elif isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _placeholders(item)
