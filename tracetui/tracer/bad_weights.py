"""Of a module that returns what isn't finite: which of its own weights aren't either."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import nn

from tracetui.models.slots import Weights
from tracetui.trace.record import BadWeight
from tracetui.tracer.readable import is_readable


def bad_weights(
    path: str, module: nn.Module, output: torch.Tensor | None, weights: Weights | None
) -> tuple[BadWeight, ...] | None:
    """Those of a module's own parameters that hold NaN or infinities; None where they were not looked at.

    They are only if the first row of its output isn't finite, as a weight that isn't spoils every row; and only if all
    of them are there. weights: what puts them in place, and may have left some out, or some rows of a table.
    """
    if not module._parameters or not is_spoilt(output):
        return None
    own = dict(module.named_parameters(recurse=False))
    there = own if weights is None else dict(weights.present(module))
    if len(there) < len(own):
        return None
    bad = tuple(_bad(path, there.items()))
    if weights is None:
        return bad
    return tuple(replace(one, first=(weights.row(module, one.first[0]), *one.first[1:])) for one in bad)


def bad_among(path: str, weights: Iterable[tuple[str, torch.Tensor]]) -> tuple[BadWeight, ...]:
    """The same of weights that stand in no module, as of one expert of many: names and tensors."""
    return tuple(_bad(path, weights))


def is_spoilt(output: torch.Tensor | None) -> bool:
    """Whether the first row of an output isn't finite."""
    if not is_readable(output):
        return False
    output = output.detach()
    if not output.is_floating_point() or not output.numel():
        return False
    row = output.reshape(-1, output.shape[-1] if output.ndim else 1)[0]
    return not math.isfinite(float(row.float().sum()))


def with_kinds(provenance: str, weights: Iterable[BadWeight]) -> str:
    """Where weights came from, with `nan` where some of them are not finite."""
    return "+".join(filter(None, (provenance, "nan" if any(True for _ in weights) else "")))


def _bad(path: str, weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[BadWeight]:
    for name, weight in weights:
        if not is_readable(weight):
            continue
        values = weight.detach()
        places = torch.nonzero(~torch.isfinite(values.float() if values.is_floating_point() else values))
        if len(places):
            whole = f"{path}.{name}" if path else name
            yield BadWeight(whole, len(places), values.numel(), tuple(places[0].tolist()))
