"""What stands beside quantised weights and isn't part of them: scales for rounding what is computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tracetui.errors import InputError

if TYPE_CHECKING:
    from tracetui.models.checkpoints.safetensors.files import SafetensorsFiles

_OF_INPUTS = (
    *("input_scale", "input_zero_point", "input_global_scale", "input_scale_ub", "activation_scale"),
    *("output_scale", "output_zero_point", "output_global_scale"),
)
_OF_CACHES = (
    "q_scale",
    "k_scale",
    "v_scale",
    "k_zero_point",
    "v_zero_point",
    "q_proj_scale",
    "k_proj_scale",
    "v_proj_scale",
)
_MULTIPLIED = {
    "pre_quant_scale": "multiplies what its module is given, which isn't done here",
    "scales": "divides what the activation gives, which isn't done here",
}
"""What a model computes otherwise without."""


def unapplied(spare: Iterable[str], files: SafetensorsFiles) -> tuple[list[str], list[str]]:
    """Those of a file's unread tensors that are still unread, and notes on the others.

    Raises InputError for one without which the model would compute something else.
    """
    names = list(spare)
    for name in names:
        if (problem := _MULTIPLIED.get(_end(name))) is not None:
            raise InputError(f"{files.path(name)}: {files.said(name)}: {problem}; --weights random runs without it")
    notes = []
    for ends, purpose in ((_OF_INPUTS, "activations"), (_OF_CACHES, "queries, keys and values")):
        if kinds := sorted({_end(name) for name in names} & set(ends)):
            notes.append(f"{', '.join(kinds)} not used: {purpose} are not rounded")
    others = (name for name in names if _end(name) not in (*_OF_INPUTS, *_OF_CACHES))
    return [name for name in others if not _is_zero_bias(name, files)], notes


def _is_zero_bias(name: str, files: SafetensorsFiles) -> bool:
    """Whether a tensor is the bias of zeros that GPTQ's packages give modules which have none."""
    stem = name.removesuffix(".bias")
    return stem != name and f"{stem}.weight" in files.packed and not files.tensor(name).whole().any()


def _end(name: str) -> str:
    return name.rpartition(".")[2]
