"""Layers that don't run: each gives back what it gave in an earlier run, and its place in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn


class RecordedLayer(nn.Module):
    """Stands where a layer has run before. Whatever else is asked of the layer it answers itself."""

    def __init__(self, layer: nn.Module, give: Callable[[tuple[Any, ...], dict[str, Any]], Any]) -> None:
        """give: what the layer returned, for the arguments that it is given now."""
        super().__init__()
        # In a list, so that its weights are none of this module's.
        self._stands_for = [layer]
        self._give = give

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._give(args, kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_stands_for"][0], name)


@contextmanager
def replaced(model: nn.Module, stubs: Mapping[str, nn.Module]) -> Iterator[None]:
    """Other modules at some places of a model's module lists, for the length of a `with`."""
    places = [(_list(model, path), int(path.rpartition(".")[2]), stub) for path, stub in stubs.items()]
    originals = [(layers, index, layers[index]) for layers, index, _ in places]
    try:
        for layers, index, stub in places:
            layers[index] = stub
        yield
    finally:
        for layers, index, layer in originals:
            layers[index] = layer


def in_list(model: nn.Module, path: str) -> bool:
    """Whether a path is a place in a module list."""
    holder, _, name = path.rpartition(".")
    return name.isdecimal() and isinstance(model.get_submodule(holder), nn.ModuleList)


def _list(model: nn.Module, path: str) -> nn.ModuleList:
    found = model.get_submodule(path.rpartition(".")[0])
    assert isinstance(found, nn.ModuleList)
    return found
