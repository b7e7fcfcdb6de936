"""What stands beside quantised weights and isn't part of them: scales for rounding what is computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tracetui.errors import InputError
from tracetui.models.checkpoints.quantised.method import ADVICE

if TYPE_CHECKING:
    from tracetui.models.checkpoints.safetensors.files import SafetensorsFiles

_OF_INPUTS = (
    *("input_scale", "input_zero_point", "input_global_scale", "input_scale_ub", "activation_scale"),
    *("output_scale", "output_zero_point", "output_global_scale"),
)
_OF_CACHES = (
    *("q_scale", "k_scale", "v_scale", "kv_scale", "prob_scale"),
    *("q_zero_point", "k_zero_point", "v_zero_point"),
    *("q_proj_scale", "k_proj_scale", "v_proj_scale"),
)
_SCALES = ("weight_scale", "weight_scale_inv")
_OF_WEIGHTS = (*_SCALES, "weight_zero_point", "weight_global_scale", "weight_g_idx")
_MULTIPLIED = {
    "pre_quant_scale": "multiplies what its module is given, which isn't done here",
    "scales": "divides what the activation gives, which isn't done here",
}
"""What a model computes otherwise without."""
_LARGEST_NUMBER = 448
"""Of any form that has scales: float8's."""
_ROWS_LOOKED_AT = 64


def unapplied(spare: Iterable[str], files: SafetensorsFiles) -> tuple[list[str], list[str]]:
    """Those of a file's unread tensors that are still unread, and notes on the others.

    Raises InputError for one without which the model would compute something else.
    """
    names = list(spare)
    for name in names:
        if (problem := _MULTIPLIED.get(_end(name))) is not None:
            raise InputError(f"{files.path(name)}: {files.said(name)}: {problem}; --weights random runs without it")
        _check_multiplied(name, files)
    notes = []
    of_kinds = (
        (_OF_INPUTS, "activations"),
        (_OF_CACHES, "queries, keys and values"),
        (_OF_WEIGHTS, "weights that stand there as plain numbers"),
    )
    for ends, purpose in of_kinds:
        if kinds := sorted({_end(name) for name in names} & set(ends)):
            notes.append(f"{', '.join(kinds)} not used: {purpose} are not rounded")
    others = (name for name in names if _end(name) not in (*_OF_INPUTS, *_OF_CACHES, *_OF_WEIGHTS))
    return [name for name in others if not _is_zero_bias(name, files)], notes


def is_scale(name: str) -> bool:
    """Whether a tensor is called as a weight's scales are."""
    return _end(name) in _SCALES


def _check_multiplied(name: str, files: SafetensorsFiles) -> None:
    """Raises InputError for the scales of a weight that isn't multiplied with them, or that has others too."""
    weight = f"{name.rpartition('.')[0]}.weight"
    if not is_scale(name) or weight not in files.tensors:
        return
    if weight in files.packed:
        raise InputError(f"{files.path(name)}: {files.said(name)}: stands there beside other scales of the same weight")
    stored, scale = files.tensor(weight), files.tensor(name).whole()
    rows = range(min(_ROWS_LOOKED_AT, stored.shape[0] if stored.shape else 0))
    if not len(rows) or not scale.numel() or not stored.dtype.is_floating_point or not scale.is_floating_point():
        return
    if stored.dtype.itemsize == 1:
        dtype = str(stored.dtype).removeprefix("torch.")
        raise InputError(f"{files.path(name)}: {files.said(name)}: multiplies a weight in {dtype}: {ADVICE}")
    numbers = stored.take(rows)
    largest = numbers.abs().max() if numbers.numel() else 0.0
    # What was rounded by a scale is at most so many times as large.
    if largest > 1.5 * _LARGEST_NUMBER * scale.float().abs().max():
        problem = "multiplies a weight that stands there as plain numbers, up to"
        raise InputError(f"{files.path(name)}: {files.said(name)}: {problem} {float(largest):g}: {ADVICE}")


def _is_zero_bias(name: str, files: SafetensorsFiles) -> bool:
    """Whether a tensor is the bias of zeros that GPTQ's packages give modules which have none."""
    stem = name.removesuffix(".bias")
    return stem != name and f"{stem}.weight" in files.packed and not files.tensor(name).whole().any()


def _end(name: str) -> str:
    return name.rpartition(".")[2]
