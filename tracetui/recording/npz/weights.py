"""What a trace remembers of weights, as JSON data and back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from math import prod

import numpy as np

from tracetui.errors import bad_field
from tracetui.recording.npz.forms import WeightForm
from tracetui.recording.weight_prints import SAMPLED, WeightPrint, WeightPrints
from tracetui.text import visible

_DIGITS = 16
_NUMBER_BYTES = 4


def weight_forms(weights: WeightPrints) -> dict[str, object]:
    """By name; samples as base64 of little-endian float32."""
    return {name: _form(weight) for name, weight in dict(weights).items()}


def weight_prints(forms: Mapping[str, WeightForm], where: str) -> dict[str, WeightPrint]:
    """Raises InputError. Files of models that ran as they were, and older ones, have none."""
    return {name: _print(form, where, f"weights.{visible(name, 80)}") for name, form in forms.items()}


def _form(weight: WeightPrint) -> dict[str, object]:
    sample = np.array(weight.sample, "<f4").tobytes()
    return {
        "shape": list(weight.shape),
        "dtype": weight.dtype,
        "provenance": weight.provenance,
        "digest": weight.digest,
        "sample": base64.b64encode(sample).decode("ascii"),
        **({"rows": weight.rows} if weight.rows else {}),
    }


def _print(form: WeightForm, where: str, name: str) -> WeightPrint:
    try:
        content = base64.b64decode(form.sample, validate=True)
    except (binascii.Error, ValueError):
        raise bad_field(where, f"{name}.sample", "must be base64", form.sample) from None
    count = min(prod(form.shape), SAMPLED)
    if len(content) != count * _NUMBER_BYTES:
        problem = f"must be of {count} float32 numbers, for a weight of the shape {list(form.shape)}"
        raise bad_field(where, f"{name}.sample", problem, f"{len(content)} bytes")
    if len(form.digest) not in (0, _DIGITS):
        raise bad_field(where, f"{name}.digest", f"must be {_DIGITS} digits, or none", form.digest)
    sample = tuple(np.frombuffer(content, "<f4").astype(float).tolist())
    return WeightPrint(form.shape, form.dtype, form.provenance, form.digest, sample, form.rows or "")
