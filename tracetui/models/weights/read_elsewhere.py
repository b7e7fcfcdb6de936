"""An estimate, for the memory plan alone: which weights of others a module reads, by the code of its class."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from types import FunctionType

from torch import nn

_CHAIN = re.compile(r"\bself((?:\.\w+)+)(\()?")
_NO_PASS = frozenset({"__init__", "_init_weights", "reset_parameters", "extra_repr"})
"""Methods that no pass calls."""
_NO_VALUES = frozenset({"dtype", "device", "shape"})
"""What is asked of a weight that isn't its values."""

Read = tuple[nn.Module, str]
"""The module that has a weight, and the weight's name in it; an empty name for all of its own."""


def read_elsewhere(module: nn.Module) -> tuple[Read, ...]:
    """The weights of other modules that a module's code names, and modules of which it calls another method."""
    if hasattr(module, "base_model_prefix"):
        # A whole model names its head and embeddings in passing.
        return ()
    reads = (_resolved(module, names, called) for names, called in _chains(type(module)))  # type: ignore[arg-type]
    return tuple(dict.fromkeys(read for read in reads if read is not None))


def _resolved(module: nn.Module, names: tuple[str, ...], called: bool) -> Read | None:
    owner = module
    for place, name in enumerate(names):
        if (child := owner._modules.get(name)) is not None:
            owner = child
            continue
        if owner is module:
            return None
        if name in owner._parameters or name in owner._buffers:
            return None if _NO_VALUES & set(names[place + 1 :]) else (owner, name)
        method = called and place == len(names) - 1 and not hasattr(nn.Module, name)
        return (owner, "") if method and isinstance(getattr(type(owner), name, None), FunctionType) else None
    return None


@cache
def _chains(kind: type[nn.Module]) -> tuple[tuple[tuple[str, ...], bool], ...]:
    """`self.conv1d.weight` as its names, and whether it is called, of all that a class's own code mentions."""
    mentions = (found for source in _sources(kind) for found in _CHAIN.findall(source))
    chains = ((tuple(names[1:].split(".")), bool(call)) for names, call in mentions)
    return tuple(dict.fromkeys((names, called) for names, called in chains if len(names) > 1))


def _sources(kind: type[nn.Module]) -> Iterator[str]:
    for base in kind.__mro__:
        if base.__module__.startswith("torch."):
            return
        for name, method in vars(base).items():
            if isinstance(method, FunctionType) and name not in _NO_PASS:
                try:
                    yield inspect.getsource(method)
                except (OSError, TypeError):
                    continue
