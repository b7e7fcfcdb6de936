"""Turning tensors that pass by into records."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from tracetui.trace.outline import NO_MODULE, Module
from tracetui.trace.record import AttentionCall, Record, Token
from tracetui.trace.trace import RunInfo, Trace
from tracetui.trace.value import Value
from tracetui.tracer.capture import capture_function
from tracetui.tracer.values import TorchValue, dtype_name

_REMEMBERED = 6
"""How many tensors back the same one is recognised: a module's output is returned again by its parents at once."""


@dataclass(frozen=True, eq=False, slots=True)
class _Seen:
    tensor: torch.Tensor
    version: int
    value: TorchValue


class Recorder:
    """Grows one trace. Used by the model thread alone; readers see lists that only grow."""

    def __init__(
        self,
        run: RunInfo,
        tokens: tuple[tuple[Token, ...], ...],
        arrived: Callable[[Record], None],
        name_predictions: Callable[[Value], Mapping[int, Token]] = lambda logits: {},
        outline: Module = NO_MODULE,
    ) -> None:
        self._records: list[Record] = []
        self._values: list[Value] = []
        self._attention: dict[str, AttentionCall] = {}
        self._vocabulary: dict[int, Token] = {}
        self._arrived = arrived
        self._name_predictions = name_predictions
        self._capture = capture_function()
        self._recent: deque[_Seen] = deque(maxlen=_REMEMBERED)
        self._masks: list[_Seen] = []
        self._calls: dict[str, int] = {}
        self.trace = Trace(
            run,
            tokens,
            self._records,
            self._values,
            self._attention,
            self._vocabulary,
            complete=False,
            outline=outline,
        )

    def call_number(self, path: str) -> int:
        """How often the module at `path` was called before in this pass; counts the call."""
        number = self._calls.get(path, 0)
        self._calls[path] = number + 1
        return number

    def record(
        self,
        site: str,
        tensor: torch.Tensor,
        *,
        depth: int,
        parent: str,
        call: int = 0,
        part: int = 0,
        seconds: float | None = None,
        provenance: str = "",
    ) -> Record:
        """Keep a tensor under a site, then wait at the gate if it ends the step."""
        value = self._keep(tensor, shared=site.endswith(":mask"))
        record = Record(
            index=len(self._records),
            site=site,
            shape=value.shape,
            dtype=dtype_name(tensor.dtype),
            depth=depth,
            parent=parent,
            call=call,
            part=part,
            seconds=seconds,
            provenance=provenance,
        )
        self._values.append(value)
        if site == "logits":
            # Before the record is there to be looked at: the model may wait at it.
            self._vocabulary.update(self._name_predictions(value))
        self._records.append(record)
        self._arrived(record)
        return record

    def attention_call(self, key: str, call: AttentionCall) -> None:
        """Note how the kernel of the query recorded under `key` was called."""
        self._attention[key] = call

    def finished(self) -> Trace:
        """The trace, now unchanging."""
        self._recent.clear()
        self._masks.clear()
        return replace(self.trace.closed(), complete=True)

    def _keep(self, tensor: torch.Tensor, shared: bool) -> TorchValue:
        """The captured value; the same object for a tensor that was captured a moment ago and not written to since.

        A mask is `shared`: one tensor goes through every layer of a pass.
        """
        version = -1 if tensor.is_inference() else tensor._version
        for seen in self._masks if shared else self._recent:
            if seen.tensor is tensor and seen.version == version != -1:
                return seen.value
        seen = _Seen(tensor, version, TorchValue(self._capture(tensor)))
        (self._masks if shared else self._recent).append(seen)
        return seen.value
