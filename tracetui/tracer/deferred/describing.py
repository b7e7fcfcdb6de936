"""What came by in a pass, told later to those who record, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tracetui.recording.record import AttentionCall
from tracetui.tracer.attention.kernel_call import KernelCall
from tracetui.tracer.attention.plain_calls import ANY_MODULE, PlainCall
from tracetui.tracer.hooks.module_site import ModuleSite
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.hooks.recording_observer import RecordingObserver

BEGAN, BEGAN_WITH, ENDED, RETURNED, KERNEL_BEGAN, KERNEL_DESCRIBED, LATENT, KERNEL_ENDED = range(8)
ROUTED, EXPERT_BEGAN, EXPERT_ENDED = range(8, 11)
"""What a step is: a module began on one tensor, or on several; it returned one under its own path, or whatever under a
name; and so on."""
BEGINNINGS, ENDS = (BEGAN, BEGAN_WITH), (ENDED, RETURNED)
WIDTH = 4
"""Each step is this many items of a log: what it is, whom it is about, the numbers of its tensors, and when it was."""
Log = list[Any]
"""A list without parts: for the collector there would be several hundred objects more in a pass."""


class DescribedKernel(NamedTuple):
    """An attention call that was described before it ran."""

    module: nn.Module
    arguments: dict[str, Any]
    described: AttentionCall


class Describing:
    """Makes records of the steps of a log. Used by the model's thread alone."""

    def __init__(self, inner: RecordingObserver, watched: Pass, living: Mapping[str, nn.Module]) -> None:
        """living: the modules by their paths, for as long as they run."""
        self._modules, self._attention, self._experts = inner.modules, inner.attention, inner.experts
        self._frames, self._edits, self.gate = watched.frames, watched.editor.log, watched.gate
        self.recorder, self.residual = watched.recorder, inner.modules.residual
        self.snapshots = watched.recorder.snapshots
        self.living = living

    def describe(self, log: Log) -> Iterator[None]:
        """Tell of each step, one at a time."""
        items = iter(log)
        for kind, about, numbers, at in zip(items, items, items, items, strict=True):
            _TOLD[kind](self, about, numbers, at)
            yield

    @property
    def begins_pass(self) -> bool:
        """Whether a pass begins of which nobody asks for more than its records."""
        taken = not self.snapshots.themselves and not self.snapshots.are_odd
        plain = not self._edits.edits and self.gate.asks_health_alone and taken
        return (
            plain
            and self.recorder.places is None
            and not self.recorder.calls
            and not self._frames
            and not self.residual.is_inside
        )

    @property
    def is_over(self) -> bool:
        """Whether no module runs any more."""
        return not self._frames and not self.residual.is_inside

    def tensors(self, numbers: Sequence[int]) -> list[torch.Tensor]:
        """The snapshots of these numbers."""
        values = self.snapshots.values
        return [values[number].captured for number in numbers]

    def _began(self, site: ModuleSite, number: int, at: float) -> None:
        given = self.snapshots.values[number].captured
        # Ids aren't what a module computes with.
        floats = (given,) if given.is_floating_point() else ()
        self._modules.begin(site, floats, bool(floats), at)

    def _began_with(self, site: ModuleSite, numbers: tuple[int, ...], at: float) -> None:
        states_first, *given = numbers
        self._modules.begin(site, self.tensors(given), bool(states_first), at)

    def _ended(self, site: ModuleSite, number: int, at: float) -> None:
        self._end(site, (number,), site.path or "output", at)

    def _returned(self, site: ModuleSite, returned: tuple[str, tuple[int, ...]], at: float) -> None:
        name, numbers = returned
        self._end(site, numbers, name, at)

    def _end(self, site: ModuleSite, numbers: Sequence[int], name: str, at: float) -> None:
        """A module has ended: its weights are looked at where what it returned isn't finite."""
        module = self.living.get(site.path)
        self._modules.end(site, self.tensors(numbers), name, at, module, ends_now=False)

    def _kernel_began(self, about: PlainCall, numbers: Sequence[int], at: float) -> None:
        query, key, value, *mask = self.tensors(numbers)
        call = KernelCall(ANY_MODULE, query, key, value, next(iter(mask), None), about._asdict())
        self._attention.kernel_in(call, partial(call.described, "sdpa", sdpa_attention_forward), ())

    def _kernel_described(self, about: DescribedKernel, numbers: Sequence[int], at: float) -> None:
        query, key, value, *mask = self.tensors(numbers)
        call = KernelCall(about.module, query, key, value, next(iter(mask), None), about.arguments)
        self._attention.kernel_in(call, lambda: about.described, ())

    def _latent(self, roles: tuple[str, ...], numbers: Sequence[int], at: float) -> None:
        self._attention.latent_in(tuple(zip(roles, self.tensors(numbers), strict=True)))

    def _kernel_ended(self, about: None, number: int, at: float) -> None:
        self._attention.kernel_out(self.snapshots.values[number].captured)

    def _routed(self, roles: tuple[str, ...], numbers: Sequence[int], at: float) -> None:
        self._experts.routed(dict(zip(roles, self.tensors(numbers), strict=True)))

    def _expert_began(self, expert: int, numbers: Sequence[int], at: float) -> None:
        tokens, inputs = self.tensors(numbers)
        self._experts.expert_in(expert, tokens, inputs, at)

    def _expert_ended(self, expert: int, number: int, at: float) -> None:
        module = self.living.get(self._frames[-1].path)
        self._experts.expert_out(module, expert, self.snapshots.values[number].captured, at)


_TOLD: tuple[Callable[[Describing, Any, Any, float], object], ...] = (
    Describing._began,
    Describing._began_with,
    Describing._ended,
    Describing._returned,
    Describing._kernel_began,
    Describing._kernel_described,
    Describing._latent,
    Describing._kernel_ended,
    Describing._routed,
    Describing._expert_began,
    Describing._expert_ended,
)
"""By the kind of a step. Not in the object itself, which would then outlive the trace."""
