"""What a module returned: the tensors in it, and the same with other tensors."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import MemberDescriptorType
from typing import Any

import torch

from tracetui.models.ranks.local import with_local

_MOST_NESTED = 16
"""Containers in containers that are looked into."""
_PARTED = (Mapping, list, tuple, set, frozenset)
_Place = tuple[Hashable, ...]
"""The key of an item in each of the containers around it, outermost first."""


def tensors_in(output: Any, whole: bool) -> Iterator[torch.Tensor]:
    """The tensors in what a module returned; of a causal model's own output the logits alone.

    Of a tuple, list, dict or dataclass its own tensors come first, then those of the containers in it.
    """
    if isinstance(output, torch.Tensor):
        yield output
    elif (logits := None if whole else _logits(output)) is not None:
        yield logits
    else:
        yield from (tensor for _, tensor in _places(output))


def with_others(output: Any, others: Mapping[int, torch.Tensor], whole: bool) -> Any:
    """The same form with other tensors at some places in the order of `tensors_in`."""
    if isinstance(output, torch.Tensor):
        return with_local(output, others[0]) if 0 in others else output
    if not whole and _logits(output) is not None:
        return _with_items(output, {"logits": with_local(output.logits, others[0])})
    places = enumerate(_places(output))
    changed = {place: with_local(tensor, others[at]) for at, (place, tensor) in places if at in others}
    return _with_places(output, changed)


def unseen(output: Any) -> str:
    """What of a module's output `tensors_in` doesn't find: `loc, scale of Normal`; empty if that is nothing."""
    if isinstance(output, torch.Tensor) or output is None:
        return ""
    return next((names for each in _nested(output) if (names := _own_tensors(each))), "")


def holds_tensors_alone(output: Any) -> bool:
    """Whether an output is a mapping of tensors, as most models' own is where they keep no cache."""
    return isinstance(output, Mapping) and all(each is None or type(each) is torch.Tensor for each in output.values())


def kinds_in(output: Any) -> tuple[type, ...] | None:
    """The classes of a mapping and of what is in it; None of what is none, or has containers in it."""
    if not isinstance(output, Mapping):
        return None
    kinds = [type(each) for each in output.values()]
    parted = any(issubclass(kind, _PARTED) or is_dataclass(kind) for kind in kinds)
    return None if parted else (type(output), *kinds)


def _logits(output: Any) -> torch.Tensor | None:
    logits = getattr(output, "logits", None)
    return logits if isinstance(logits, torch.Tensor) else None


def _items(value: Any) -> Iterator[tuple[Hashable, Any]]:
    """The items of a container with what each is reached by; nothing of what is none."""
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name, None)) for field in fields(value))


def _places(value: Any, at: _Place = (), around: tuple[int, ...] = ()) -> Iterator[tuple[_Place, torch.Tensor]]:
    """Every tensor with its place; a container that lies in itself is looked into once."""
    if id(value) in around or len(around) >= _MOST_NESTED:
        return
    items = list(_items(value))
    yield from (((*at, key), item) for key, item in items if isinstance(item, torch.Tensor))
    for key, item in items:
        if not isinstance(item, torch.Tensor):
            yield from _places(item, (*at, key), (*around, id(value)))


def _with_places(value: Any, changed: Mapping[_Place, torch.Tensor]) -> Any:
    if () in changed:
        return changed[()]
    inner: dict[Hashable, dict[_Place, torch.Tensor]] = {}
    for place, tensor in changed.items():
        inner.setdefault(place[0], {})[place[1:]] = tensor
    items = {key: _with_places(item, inner[key]) for key, item in _items(value) if key in inner}
    if isinstance(value, list | tuple):
        whole = [items.get(index, item) for index, item in enumerate(value)]
        return type(value)(*whole) if hasattr(value, "_fields") else type(value)(whole)
    return _with_items(value, items)


def _with_items(output: Any, items: Mapping[Any, Any]) -> Any:
    """transformers' own outputs have their items as attributes too."""
    changed = copy.copy(output)
    for name, item in items.items():
        if isinstance(output, Mapping):
            changed[name] = item
        else:
            # A frozen dataclass refuses to be set in the ordinary way.
            object.__setattr__(changed, name, item)
    return changed


def _nested(value: Any, around: tuple[int, ...] = ()) -> Iterator[Any]:
    """What lies in a container at any depth and is neither a tensor nor a container itself."""
    if isinstance(value, torch.Tensor) or id(value) in around:
        return
    items = list(_items(value))
    if not items or len(around) >= _MOST_NESTED:
        yield value
    for _, item in items:
        yield from _nested(item, (*around, id(value)))


def _own_tensors(value: Any) -> str:
    if any(True for _ in _items(value)):
        return f"what lies more than {_MOST_NESTED} containers deep"
    kind = type(value).__name__
    if isinstance(value, set | frozenset | deque):
        return f"what lies in a {kind}" if _holds_tensors(value) else ""
    if isinstance(value, Iterator):
        return f"what a {kind} gives when it is asked"
    held = [name for name, own in _attributes(value) if _holds_tensors(own)]
    return f"{', '.join(held)} of {kind}" if held else ""


def _holds_tensors(value: Any) -> bool:
    """Whether a value is a tensor or a plain container that one lies in."""
    inner = value.values() if type(value) is dict else value
    is_plain = type(value) in (dict, list, tuple, set, frozenset, deque)
    return isinstance(value, torch.Tensor) or (is_plain and any(isinstance(each, torch.Tensor) for each in inner))


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            # Not asked by name: what isn't a slot after all may be a property, which computes.
            if isinstance(slot := kind.__dict__.get(name), MemberDescriptorType) and hasattr(value, name):
                yield name, slot.__get__(value)
