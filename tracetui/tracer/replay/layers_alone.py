"""The observer of a run of which layers' outputs and the model's own are wanted: all else computes unrecorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tracetui.tracer.hooks.module_site import ModuleSite
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.hooks.recording_observer import RecordingObserver
from tracetui.tracer.observer import Choice

if TYPE_CHECKING:
    from tracetui.models.weights.experts import ExpertWeights
    from tracetui.recording.record import AttentionCall
    from tracetui.tracer.attention.explicit import Show
    from tracetui.tracer.attention.kernel_call import KernelCall


class LayersAloneObserver:
    """Has the model compute what it computes under a `RecordingObserver`, whose sites it takes over. An Observer."""

    def __init__(self, recording: RecordingObserver, watched: Pass) -> None:
        self._recording = recording
        self._weights = watched.weights
        self._frames = watched.frames
        self._making = watched.making

    @staticmethod
    def is_enough(watched: Pass) -> bool:
        """Whether nothing but layers' outputs can be asked for in a watch, and nothing is done between them."""
        beside = watched.absorb or watched.lens or watched.recorder.trace.run.parallel is not None
        return watched.layers_alone and not beside and watched.editor.log.idle

    def sites(self, sites: Mapping[str, ModuleSite], modules: Mapping[str, nn.Module]) -> dict[str, ModuleSite]:
        """Those of all sites that are recorded or need weights, by their paths."""
        lacking = self._lacking(modules.values())
        every = sites.items()
        return {path: self._site(site) for path, site in every if _is_recorded(site) or modules[path] in lacking}

    def _lacking(self, modules: Iterable[nn.Module]) -> set[nn.Module]:
        """The modules whose weights have to be put in place, now or each time that they run."""
        weights = self._weights
        if weights is None:
            return set()
        all_stay = weights.all_stay
        return {each for each in modules if weights.needed_by(each) and (not all_stay or weights.lacks(each))}

    def _site(self, site: ModuleSite) -> ModuleSite:
        begins = (self._recording.make_weights,) if self._recording.make_weights in site.begins else ()
        return replace(site, begins=begins, ends=(), may_route=False)

    def module_in(
        self, site: ModuleSite, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        if _is_recorded(site):
            self._recording.module_in(site, module, args, kwargs)
        elif kwargs is not None:
            for begin in site.begins:
                begin(site.path, module, args, kwargs)

    def module_out(self, site: ModuleSite, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if _is_recorded(site):
            return self._recording.module_out(site, module, args, output)
        if self._weights is not None:
            self._weights.ended(module, len(self._frames))
        return None

    def kernel_later(self, *given: object) -> bool:
        """Each call runs as where it is recorded."""
        return False

    def kernel_in(self, call: KernelCall, describe: Callable[[], AttentionCall]) -> KernelCall:
        return call

    def kernel_step(self, call: KernelCall) -> Show | None:
        return None

    def kernel_out(self, heads: torch.Tensor) -> torch.Tensor:
        return heads

    def latent(self, module: nn.Module) -> None:
        """Nothing is computed from latents."""

    def experts_in(self, module: nn.Module, experts: torch.Tensor, routing_weights: torch.Tensor) -> Choice:
        return experts, routing_weights

    def expert_in(self, expert: int, tokens: torch.Tensor, inputs: torch.Tensor) -> None:
        """It isn't recorded."""

    def expert_weights(self, module: nn.Module, expert: int) -> ExpertWeights | None:
        return None if self._weights is None else self._weights.of_expert(module, expert, self._making)

    def expert_out(self, module: nn.Module, expert: int, output: torch.Tensor) -> torch.Tensor:
        return output


def _is_recorded(site: ModuleSite) -> bool:
    return site.is_layer or not site.path
