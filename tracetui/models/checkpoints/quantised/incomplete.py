"""Tensors of quantised weights whose other tensors stand in a file that isn't there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import torch

from tracetui.models.checkpoints.quantised.forms import FORMS

if TYPE_CHECKING:
    from tracetui.models.checkpoints.safetensors.files import SafetensorsFiles

_ENDINGS = tuple(frozenset(ending for endings in form.endings.values() for ending in endings) for form in FORMS)
"""How the names of a weight's tensors end, of each form."""
_WHOLE = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def parts_alone(files: SafetensorsFiles, used: Collection[str]) -> Iterator[str]:
    """The tensors that are part of no weight because the index names another of its tensors in a missing file.

    used: those that are part of one.
    """
    if not (absent := files.shards.absent):
        return
    for name, stored in files.tensors.items():
        if name not in used and not _is_whole(name, stored.dtype) and _lacks_another(files.own_name(name), absent):
            yield name


def _is_whole(name: str, dtype: torch.dtype) -> bool:
    """Whether it is a weight as it is."""
    return name.endswith(".weight") and dtype in _WHOLE


def _lacks_another(name: str, absent: Collection[str]) -> bool:
    return any(
        name.removesuffix(ending) + other in absent
        for endings in _ENDINGS
        for ending in endings
        if name.endswith(ending)
        for other in endings - {ending}
    )
