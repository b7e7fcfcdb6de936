"""The ids of all bindings there are: what a keymap may name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode

import tracetui.ui

_OURS = "tracetui."


def binding_ids(app: type[App[int]]) -> frozenset[str]:
    """Of an application, and of every screen and widget of tracetui's, which are imported for it."""
    for module in pkgutil.walk_packages(tracetui.ui.__path__, "tracetui.ui."):
        importlib.import_module(module.name)
    return frozenset(binding.id for owner in {app, *_owners(DOMNode)} for binding in own_bindings(owner) if binding.id)


def own_bindings(owner: type[DOMNode]) -> Iterator[Binding]:
    """What a class itself binds."""
    for binding in owner.__dict__.get("BINDINGS", ()):
        yield binding if isinstance(binding, Binding) else Binding(*binding)


def _owners(base: type[DOMNode]) -> Iterator[type[DOMNode]]:
    for owner in base.__subclasses__():
        if owner.__module__.startswith(_OURS):
            yield owner
        yield from _owners(owner)
