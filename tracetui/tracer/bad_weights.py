"""Of a module that returns what isn't finite: whether its own weights aren't."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from tracetui.tracer.readable import is_readable


def with_bad_weights(
    provenance: str, path: str, module: nn.Module, output: torch.Tensor | None, note: Callable[[str], None]
) -> str:
    """Where weights came from, with `nan` or `inf` where a module's own hold that; each such parameter is noted.

    They are looked at only if the first row of its output isn't finite: a weight that isn't spoils every row.
    """
    if not is_readable(output) or not module._parameters or not _spoilt(output.detach()):
        return provenance
    kinds = []
    for name, weight in module.named_parameters(recurse=False):
        if not is_readable(weight):
            continue
        values = weight.detach().float()
        places = torch.nonzero(~torch.isfinite(values))
        if len(places):
            first = ", ".join(map(str, places[0].tolist()))
            where = f"{path}.{name}" if path else name
            note(f"weights: {where}: {len(places):,} of {values.numel():,} are NaN or infinite, the first at [{first}]")
            kinds.append("nan" if bool(torch.isnan(values).any()) else "inf")
    return "+".join(filter(None, (provenance, max(kinds, default=""))))


def _spoilt(output: torch.Tensor) -> bool:
    if not output.is_floating_point() or not output.numel():
        return False
    row = output.reshape(-1, output.shape[-1] if output.ndim else 1)[0]
    return not math.isfinite(float(row.float().sum()))
