"""What a module returned: the tensors in it, and the same with other tensors."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import torch


def tensors_in(output: Any, whole: bool) -> Iterator[torch.Tensor]:
    """The tensors in what a module returned; of a causal model's own output the logits alone."""
    if isinstance(output, torch.Tensor):
        yield output
    elif not whole and hasattr(output, "logits"):
        yield output.logits
    elif isinstance(output, Mapping):
        yield from (item for item in output.values() if isinstance(item, torch.Tensor))
    elif isinstance(output, list | tuple):
        yield from (item for item in output if isinstance(item, torch.Tensor))


def with_others(output: Any, others: Mapping[int, torch.Tensor], whole: bool) -> Any:
    """The same form with other tensors at some places in the order of `tensors_in`."""
    if isinstance(output, torch.Tensor):
        return others.get(0, output)
    if not whole and hasattr(output, "logits"):
        return _with_items(output, {"logits": others[0]})
    place = count()

    def other(item: Any) -> Any:
        return others.get(next(place), item) if isinstance(item, torch.Tensor) else item

    if isinstance(output, Mapping):
        return _with_items(output, {name: other(item) for name, item in output.items()})
    items = [other(item) for item in output]
    return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)


def _with_items(output: Any, items: dict[Any, Any]) -> Any:
    """transformers' own outputs have their items as attributes too."""
    changed = copy.copy(output)
    for name, item in items.items():
        if isinstance(output, Mapping):
            changed[name] = item
        else:
            setattr(changed, name, item)
    return changed
