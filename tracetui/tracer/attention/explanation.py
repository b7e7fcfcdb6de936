"""Whether what is recorded of an attention call explains what its kernel returned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from tracetui.analysis.attention.heads import NOT_SHOWN, UnexplainedError, explained
from tracetui.analysis.attention.scores import attention_at
from tracetui.recording.record import ABSORBED, AttentionCall, Record
from tracetui.recording.trace import RunInfo, Trace
from tracetui.tracer.attention.own_matrices import OwnMatrices
from tracetui.tracer.capture.values import TorchValue

__all__ = ["NOT_SHOWN", "Explanations", "RunningKernel"]
_ROLES = ("q", "k", "v", "mask", "sinks", "position_bias")


@dataclass(frozen=True, eq=False, slots=True)
class RunningKernel:
    """A kernel between its inputs and its output."""

    module: nn.Module
    described: AttentionCall
    inputs: Mapping[str, tuple[torch.Tensor, Record]]
    """By role, what it was given."""
    own: OwnMatrices | None = None
    """What the module made of it itself."""


class Explanations:
    """What is known of the attention functions that ran so far.

    sdpa's arithmetic is known. Any other function may do anything with what it is given, so that one head of the first
    call of each kind is computed again and compared.
    """

    def __init__(self) -> None:
        self._reasons: dict[tuple[type[nn.Module], AttentionCall], str] = {}

    @staticmethod
    def may_object(kernel: RunningKernel, always: bool) -> bool:
        """Whether a call is to be checked. always: also of a kernel whose arithmetic is known."""
        described = kernel.described
        if described.unexplained or described.kernel == ABSORBED:
            return False
        return always or described.kernel != "sdpa"

    def checked(self, kernel: RunningKernel, heads: torch.Tensor) -> AttentionCall:
        """The call's description, which says why it can't be computed again where that is so.

        heads: each head's output [B,H,T,Kv].
        """
        described = kernel.described
        kind = (type(kernel.module), described)
        if kind not in self._reasons:
            self._reasons[kind] = _reason(kernel, heads)
        reason = self._reasons[kind]
        return replace(described, unexplained=reason) if reason else described


def _reason(kernel: RunningKernel, heads: torch.Tensor) -> str:
    """Why the last head of the last prompt isn't what its inputs give; empty where it is."""
    batch, head = heads.shape[0] - 1, heads.shape[1] - 1
    tensors = {role: tensor for role, (tensor, _) in kernel.inputs.items() if role in _ROLES}
    parts = dict(_of_head({**tensors, "heads": heads}, batch, head))
    records = tuple(
        Record(index, f"{_HERE}:{role}", tuple(part.shape), str(part.dtype).removeprefix("torch."), depth=0)
        for index, (role, part) in enumerate(parts.items())
    )
    calls = {f"{_HERE}:q": replace(kernel.described, heads=1, kv_heads=1)}
    trace = Trace(RunInfo(), (), records, tuple(map(TorchValue, parts.values())), calls)
    view = attention_at(trace, records[0])
    if view is None:
        return "its shapes don't go together"
    try:
        explained(view, 0)
    except UnexplainedError as error:
        return error.reason
    return ""


_HERE = "attention"


def _of_head(tensors: Mapping[str, torch.Tensor], batch: int, head: int) -> Iterator[tuple[str, torch.Tensor]]:
    """What a single head of a single prompt has of each [1,1,…]; of sinks [H] the head's own [1]."""
    count = tensors["q"].shape[1]
    for role, tensor in tensors.items():
        if tensor.dim() == 1:
            yield role, tensor[head : head + 1]
            continue
        row, place = min(batch, tensor.shape[0] - 1), head * tensor.shape[1] // count
        yield role, tensor[row : row + 1, place : place + 1]
