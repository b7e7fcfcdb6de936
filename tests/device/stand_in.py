"""A GPU that isn't there: torch's `cuda` over the processor's memory, strict where a real one is.

Tensors are plain ones; which of them lie "on the GPU" their storages say. For the length of a `with`, whatever Python
asks of torch on this thread is looked at: tensors of two devices in one call are an error as on a GPU, so is numpy() of
what lies there; what makes the processor wait for the device is counted; copies on a side stream are made when somebody
waits for them, not before, so that who reads too early, or lets go too early, gets other numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode

from tracetui.models.weights.placeholder import Placeholder

GPU = torch.device("cuda", 0)
CPU = torch.device("cpu")
_Function = Callable[..., Any]
_WAITS = frozenset(
    (
        *("item", "tolist", "__bool__", "__int__", "__float__", "__index__", "__len__of_nonzero", "__contains__"),
        *("equal", "allclose", "nonzero", "unique", "unique_consecutive", "masked_select", "argwhere", "is_nonzero"),
        *("repeat_interleave", "_unique2", "bincount", "__format__", "__repr__", "multinomial_with_replacement"),
    )
)
"""What answers on the processor, or in a shape that depends on values."""
_OTHER_DEVICE = frozenset(("copy_", "_foreach_copy_", "__set__", "_has_compatible_shallow_copy_type"))
"""What may be given tensors of two devices."""
_INDEXED = frozenset(("__getitem__", "__setitem__", "index_put_", "index_put"))
_LIKE = frozenset(("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"))


class StandIn(TorchFunctionMode):
    """What happens on the GPU that isn't there."""

    def __init__(self, gpus: int = 1, free: int = 2**33) -> None:
        super().__init__()
        self.gpus = gpus
        self.free = free
        self.waits: list[str] = []
        """What made the processor wait, in order."""
        self.calls = 0
        self.stream = _Stream(self)
        self._model_stream = self.stream
        self._inside: list[_Function] = []

    def __torch_function__(
        self, func: _Function, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        self.calls += 1
        if (answer := _ASKED.get(func)) is not None and type(args[0]) is not Placeholder:
            return answer(args[0])
        name = getattr(func, "__name__", "")
        if name == "set_default_device":
            return func(*args, **kwargs)
        own = getattr(self, f"_{name.strip('_')}", None) if name in _OWN else None
        if own is not None:
            return own(func, args, kwargs)
        return self._ran(func, name, args, kwargs)

    def _ran(self, func: _Function, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensors = list(_tensors((args, kwargs)))
        if any(type(each) is Placeholder for each in tensors) and func not in self._inside:
            self._inside.append(func)
            try:
                with self:
                    # What is lent for it is looked at in turn.
                    return Placeholder.__torch_function__(func, (), args, kwargs)
            finally:
                self._inside.pop()
        device = self._device(name, tensors, args)
        wanted = kwargs.pop("device", None)
        kwargs.pop("pin_memory", None)
        if wanted is not None:
            device = _full(wanted)
            kwargs["device"] = CPU if device.type == "cuda" else device
        if name in _WAITS and any(_lies(each) == GPU for each in tensors):
            self.waited(name)
        if name in _INDEXED and _lies(args[0]) == GPU and any(each.dtype is torch.bool for each in _tensors(args[1:2])):
            self.waited(f"{name} by flags")
        if (name == "copy_" or name == "_foreach_copy_") and self.stream is not self._model_stream:
            self.stream.put(lambda: func(*args, **kwargs))
            return args[0]
        if name == "copy_" and not kwargs.get("non_blocking") and {_lies(each) for each in args[:2]} == {CPU, GPU}:
            self.waited("copy_")
        result = func(*args, **kwargs)
        for made in _tensors(result):
            if not any(made is each for each in tensors):
                _put(made, device)
        return result

    def _device(self, name: str, tensors: Sequence[torch.Tensor], args: tuple[Any, ...]) -> torch.device:
        """Where a call's result is. Raises RuntimeError where torch would, of tensors on two devices."""
        if name in _LIKE or name.startswith("new_"):
            return _lies(args[0])
        if name in _INDEXED and tensors and _lies(tensors[0]) == GPU:
            # Indices may lie on the processor.
            tensors = [each for each in tensors if each.dtype.is_floating_point] or tensors[:1]
        devices = {_lies(each) for each in tensors if each.dim()} or {_lies(each) for each in tensors}
        if len(devices) > 1 and name not in _OTHER_DEVICE:
            shown = [(tuple(each.shape), str(_lies(each))) for each in tensors]
            raise RuntimeError(f"Expected all tensors to be on the same device, but {name} is given {shown}")
        return GPU if GPU in devices else CPU

    def waited(self, what: str) -> None:
        """The processor waits for the device."""
        self.waits.append(what)

    def _to(self, func: _Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensor, *rest = args
        wanted, flags = kwargs.pop("device", None), []
        for each in rest:
            if isinstance(each, str | torch.device):
                wanted = each
            elif isinstance(each, torch.Tensor):
                wanted, kwargs["dtype"] = _lies(each), each.dtype
            elif isinstance(each, torch.dtype):
                kwargs["dtype"] = each
            elif isinstance(each, bool):
                flags.append(each)
        kwargs.update(zip(("non_blocking", "copy"), flags, strict=False))
        if type(tensor) is Placeholder:
            return self._ran(func, "to", args, {**kwargs, **({} if wanted is None else {"device": wanted})})
        here = _lies(tensor)
        there = here if wanted is None else _full(wanted)
        made = func(tensor, **kwargs) if kwargs else tensor
        if there == here:
            return _put(made, here) if made is not tensor else tensor
        if there == CPU and not kwargs.get("non_blocking"):
            self.waited("to cpu")
        with torch._C.DisableTorchFunction():
            return _put(made.clone() if made is tensor or made._base is not None else made, there)

    def _cpu(self, func: _Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._to(torch.Tensor.to, (args[0], CPU), {})

    def _cuda(self, func: _Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._to(torch.Tensor.to, (args[0], GPU), {})

    def _numpy(self, func: _Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _lies(args[0]) == GPU:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        return func(*args, **kwargs)

    _array = _const_data_ptr_read = _numpy

    def _is_pinned(self, func: _Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        return _lies(args[0]) == CPU

    def _pin_memory(self, func: _Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return args[0]

    @contextmanager
    def there(self) -> Iterator[StandIn]:
        """torch has this GPU for the length of a `with`."""
        known: dict[str, Any] = {
            "is_available": lambda: True,
            "device_count": lambda: self.gpus,
            "current_device": lambda: 0,
            "device": nullcontext,
            "get_device_name": lambda device=None: "a GPU that isn't there",
            "get_device_capability": lambda device=None: (9, 0),
            "mem_get_info": lambda device=None: (self.free, 2 * self.free),
            "memory_reserved": lambda device=None: 0,
            "memory_allocated": lambda device=None: 0,
            "max_memory_allocated": lambda device=None: 0,
            "reset_peak_memory_stats": lambda device=None: None,
            "empty_cache": lambda: None,
            "get_device_properties": lambda device=None: SimpleNamespace(name="none", total_memory=self.free),
            "set_sync_debug_mode": lambda mode: None,
            "synchronize": lambda device=None: self.waited("synchronize"),
            "Stream": lambda device=None: _Stream(self),
            "Event": lambda: _Event(self),
            "current_stream": lambda device=None: self.stream,
            "stream": self._on,
        }
        # It takes no stream but torch's own.
        unmarked = patch.object(torch.Tensor, "record_stream", lambda tensor, stream: None, create=True)
        # Of a GPU that is there torch would say that it has been begun with.
        elsewhere = patch("tracetui.tracer.capture.snapshots.is_all_on_the_processor", lambda: False)
        with patch.multiple(torch.cuda, **known), unmarked, elsewhere, self:
            yield self

    @contextmanager
    def _on(self, stream: _Stream) -> Iterator[None]:
        before, self.stream = self.stream, stream
        try:
            yield
        finally:
            self.stream = before


class _Stream:
    """Copies that are made when somebody waits for them."""

    def __init__(self, gpu: StandIn) -> None:
        self._gpu = gpu
        self._asked: list[Callable[[], object]] = []
        self.done = 0

    def put(self, work: Callable[[], object]) -> None:
        self._asked.append(work)

    @property
    def asked(self) -> int:
        return len(self._asked)

    def run(self, until: int) -> None:
        with torch._C.DisableTorchFunction():
            while self.done < until:
                self._asked[self.done]()
                self._asked[self.done] = _nothing
                self.done += 1

    def wait_stream(self, other: _Stream) -> None:
        other.run(other.asked)

    def wait_event(self, event: _Event) -> None:
        event.stream.run(event.until)

    def synchronize(self) -> None:
        self._gpu.waited("a stream")
        self.run(self.asked)


class _Event:
    def __init__(self, gpu: StandIn) -> None:
        self._gpu = gpu

    def record(self, stream: _Stream) -> None:
        self.stream, self.until = stream, stream.asked

    def query(self) -> bool:
        return self.stream.done >= self.until

    def synchronize(self) -> None:
        self._gpu.waited("an event")
        self.stream.run(self.until)


def _nothing() -> None:
    """Done already."""


def _lies(tensor: Any) -> torch.device:
    """Where a tensor is."""
    if not isinstance(tensor, torch.Tensor):
        return CPU
    with torch._C.DisableTorchFunction():
        if type(tensor) is Placeholder or tensor.is_meta:
            return tensor.device
        try:
            storage: Any = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):
            # Of torch.func's transforms.
            return CPU
        return getattr(storage, "lies", CPU)


def _put(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    with torch._C.DisableTorchFunction():
        if type(tensor) is not Placeholder and not tensor.is_meta:
            try:
                storage: Any = tensor.untyped_storage()
            except (NotImplementedError, RuntimeError):
                return tensor
            if not hasattr(storage, "lies"):
                storage.lies = device
    return tensor


def _full(device: Any) -> torch.device:
    known = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    return GPU if known.type == "cuda" else known


def _tensors(value: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple | dict) and depth < 5:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item, depth + 1)


def _get(name: str) -> Any:
    return getattr(torch.Tensor, name).__get__


_ASKED: Mapping[Any, Callable[[torch.Tensor], Any]] = {
    _get("device"): _lies,
    _get("is_cpu"): lambda tensor: _lies(tensor).type == "cpu",
    _get("is_cuda"): lambda tensor: _lies(tensor).type == "cuda",
    torch.Tensor.get_device: lambda tensor: 0 if _lies(tensor) == GPU else -1,
}
_OWN = frozenset(("to", "cpu", "cuda", "numpy", "__array__", "is_pinned", "pin_memory"))
