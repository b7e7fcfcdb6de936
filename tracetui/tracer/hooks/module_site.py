"""One module that is watched: where it stands, and all that can be decided about it before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from tracetui.models.module_tree import has_parameters
from tracetui.recording.record import INPUT, is_layer, layer_path
from tracetui.tracer.residual.module_facts import ModuleFacts

MOST_INPUTS = 8
"""Inputs of one module that get records."""
Begin = Callable[[str, nn.Module, tuple[Any, ...], dict[str, Any]], None]
End = Callable[[str], None]


@dataclass(eq=False, slots=True)
class ModuleSite:
    """A module's place in the model. Immutable once hooks are on."""

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
    provenance: str = ""
    """Where its own weights came from."""
    may_route: bool = False
    """Whether what it returns may be a router's scores or choice."""
    begins: list[Begin] = field(default_factory=list)
    """What else is done before it runs, in order."""
    ends: list[End] = field(default_factory=list)
    """And after it has run, before anything is recorded."""

    @classmethod
    def of(cls, path: str, module: nn.Module) -> ModuleSite:
        """Of a module at a path of the model."""
        own_layer, facts = layer_path(path), ModuleFacts.of(path, module)
        weighs = has_parameters(module)
        # A module around others is told by them; a table of positions asks its input for nothing but a dtype.
        inputs = (MOST_INPUTS if facts.is_leaf else 1) if path and (own_layer or weighs) else 0
        return cls(path, is_layer(path), bool(own_layer), weighs, facts, f"{path}:{INPUT}", inputs)
