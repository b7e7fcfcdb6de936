"""The modules that are watched: where they stand, and all that can be decided about them before they run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from tracetui.models.latent import expansion_of
from tracetui.models.module_tree import has_parameters
from tracetui.models.pass_through import PassThrough
from tracetui.models.ranks.stages import hands_on, is_elsewhere, stages_in
from tracetui.models.recordable.watched_call import asks_for_hooks
from tracetui.models.recurrent import kernels_called
from tracetui.models.weights.experts import may_have_experts
from tracetui.recording.record import INPUT, is_layer, layer_path
from tracetui.tracer.attention.attends_itself import attends_itself
from tracetui.tracer.replay.stubs import RecordedLayer
from tracetui.tracer.residual.module_facts import ModuleFacts

MOST_INPUTS = 8
"""Inputs of one module that get records."""
Begin = Callable[[str, nn.Module, tuple[Any, ...], dict[str, Any]], None]
End = Callable[[str], None]


@dataclass(frozen=True, eq=False, slots=True)
class ModuleSite:
    """A module's place in the model."""

    path: str
    is_layer: bool
    """Whether what it returns is the residual stream after a decoder layer."""
    in_layer: bool
    has_parameters: bool
    """Its own, or of modules inside it."""
    facts: ModuleFacts
    input_site: str
    inputs: int
    """How many tensors that it is given get records of their own, if no record holds them."""
    hands_on: bool = False
    """Whether what it returns is not its output, but what the next rank goes on with: then it is not recorded."""
    provenance: str = ""
    """Where its own weights came from."""
    may_route: bool = False
    """Whether what it returns may be a router's scores or choice."""
    begins: tuple[Begin, ...] = ()
    """What else is done before it runs, in order."""
    ends: tuple[End, ...] = ()
    """And after it has run, before anything is recorded."""

    @classmethod
    def of(cls, path: str, module: nn.Module) -> ModuleSite:
        """Of a module at a path of the model."""
        own_layer, facts = layer_path(path), ModuleFacts.of(path, module)
        weighs = has_parameters(module)
        # A module around others is told by them; a table of positions asks its input for nothing but a dtype.
        inputs = (MOST_INPUTS if facts.is_leaf else 1) if path and (own_layer or weighs) else 0
        return cls(path, is_layer(path), bool(own_layer), weighs, facts, f"{path}:{INPUT}", inputs)


class WatchedSites:
    """Of a model that stays as it is built."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        """modules: all of the model's, by their paths."""
        watched = {path: each for path, each in modules.items() if not _stands_in(each)}
        self.sites = {path: ModuleSite.of(path, module) for path, module in watched.items()}
        """By their paths; what a single watch decides is not in them."""
        self.sites |= {path: replace(self.sites[path], inputs=0) for path in stages_in(modules) & self.sites.keys()}
        self.sites |= {path: replace(self.sites[path], hands_on=True) for path in hands_on(modules)}
        self.layers = frozenset(site.facts for site in self.sites.values() if site.is_layer)
        self.attend_themselves = frozenset(path for path, module in watched.items() if attends_itself(module))
        self.recur = frozenset(path for path, module in watched.items() if kernels_called(module))
        """Those that call kernels of recurrent layers."""
        self.expand_latents = any(expansion_of(module) is not None for module in modules.values())
        self.are_copied = any(isinstance(module, nn.DataParallel) for module in modules.values())
        """Whether what is called are copies of modules."""
        self.ask_for_hooks = any(map(asks_for_hooks, {type(module) for module in watched.values()}))
        """Whether some run otherwise where they have hooks."""
        self.may_have_experts = any(map(may_have_experts, modules.values()))

    @classmethod
    def of_part(cls, whole: WatchedSites, modules: Mapping[str, nn.Module]) -> WatchedSites:
        """Those of these modules of a model, where others stand in for some of it."""
        part = copy.copy(whole)
        there = {path for path, module in modules.items() if not _stands_in(module)}
        part.sites = {path: site for path, site in whole.sites.items() if path in there}
        part.attend_themselves, part.recur = whole.attend_themselves & there, whole.recur & there
        return part


class PlacedSites:
    """Of a model all of whose weights stand in it: the same in each watch while these come from the same places."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._made: tuple[Mapping[str, str], Mapping[str, ModuleSite]] = ({}, {})

    def of(self, sites: Mapping[str, ModuleSite], provenance: Mapping[str, str]) -> Mapping[str, ModuleSite]:
        """The sites by their paths, with where each module's own weights came from."""
        known, made = self._made
        if known != provenance or made.keys() != sites.keys():
            made = {path: replace(site, provenance=provenance[path]) for path, site in sites.items()}
            self._made = (provenance, made)
        return made


def _stands_in(module: nn.Module) -> bool:
    """Whether a module stands where another one isn't, and computes nothing."""
    return isinstance(module, PassThrough | RecordedLayer) or is_elsewhere(module)
