"""Whether a tensor holds what it held when it was captured.

A write through `.data`, or into numpy's view of a tensor, leaves its version as it is. But what a record shares is
copied before it is written to, so that the tensor lies elsewhere afterwards. Where statistics alone are kept nothing is
shared, and only a tensor that was given other memory is known for another.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from tracetui.recording.value import Value
from tracetui.tracer.capture.statistics import of_tensor
from tracetui.tracer.capture.values import TorchValue

address_of: Callable[[torch.Tensor], int] = torch.Tensor.const_data_ptr  # type: ignore[attr-defined]
"""Where a tensor's elements lie, asked so that nothing is copied for it; a RuntimeError where it has no storage."""


def holds(tensor: torch.Tensor, value: Value) -> bool:
    """Whether a tensor that lies elsewhere by now still has its captured values: a mere look may have it copied too.

    Of a device's tensor that is taken for granted: kernels of all kinds ask for addresses there, and a look waits.
    """
    if not tensor.is_cpu:
        return True
    if not isinstance(value, TorchValue):
        return value.shape == tuple(tensor.shape) and value.statistics() == of_tensor(tensor)
    captured = value.captured
    if captured.dtype is not tensor.dtype or captured.shape != tensor.shape:
        return False
    if (same := torch.equal(captured, tensor)) or not tensor.is_floating_point() or tensor.itemsize < 2:
        return same
    # NaN is like NaN.
    return bool(((captured == tensor) | (captured.isnan() & tensor.isnan())).all())
