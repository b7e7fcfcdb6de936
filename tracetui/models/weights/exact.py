"""A model computed in float64 from the very weights that it had in its own dtype: what rounding is measured against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from tracetui.models.weights.sources import TensorSpec, Tick, WeightSource

_NARROW = frozenset({torch.float32, torch.float16, torch.bfloat16})
_WIDENED: Mapping[object, Callable[..., Any]] = {
    torch.Tensor.float: torch.Tensor.double,
    torch.Tensor.half: torch.Tensor.double,
    torch.Tensor.bfloat16: torch.Tensor.double,
}
_REINTERPRETING = frozenset({torch.Tensor.view})
"""Here a dtype says how bits are read, not in what is computed."""
_READS: ContextVar[bool] = ContextVar("reads", default=False)
"""Whether weights are being read: their own rounding is what has to stay."""


class WidenedSource:
    """Reads each tensor in the dtype that it had in the model that ran, with that dtype's rounding, and widens it."""

    def __init__(self, source: WeightSource, ran: Mapping[str, torch.dtype]) -> None:
        """`ran` are the dtypes by checkpoint name."""
        self._source = source
        self._ran = ran

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        return self._source.provenance(self._as_it_ran(spec), rows)

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        token = _READS.set(True)
        try:
            return self._source.read(self._as_it_ran(spec), rows, tick).to(spec.dtype)
        finally:
            _READS.reset(token)

    def _as_it_ran(self, spec: TensorSpec) -> TensorSpec:
        return TensorSpec(spec.name, spec.shape, self._ran.get(spec.name, spec.dtype), spec.init)


class InFloat64(TorchFunctionMode):
    """While it is on, what a model's code would turn to a narrower float, as norms and softmax do, becomes float64."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        passed = dict(kwargs or {})
        if _READS.get():
            return func(*args, **passed)
        if func not in _REINTERPRETING:
            args = tuple(_widened(value) for value in args)
            passed = {name: _widened(value) for name, value in passed.items()}
        return _WIDENED.get(func, func)(*args, **passed)


def _widened(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in _NARROW else value
