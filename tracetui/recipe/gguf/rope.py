"""How positions turn queries and keys, from a GGUF file's keys and its tensors of factors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tracetui.recipe.gguf.keys import Keys

FACTORS, LONG, SHORT = "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"
_THETA = 10_000.0
"""Where a file doesn't say, by llama.cpp."""
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""What every published model with this scaling has."""
_YARN = {
    "attention_factor": "rope.scaling.yarn_attn_factor",
    "beta_fast": "rope.scaling.yarn_beta_fast",
    "beta_slow": "rope.scaling.yarn_beta_slow",
}
_NEAR = 1e-5


def rope_parameters(keys: Keys, head_size: int) -> dict[str, object]:
    """transformers' `rope_parameters` for heads of so many elements. Raises InputError for a scaling not known."""
    theta = keys.positive("rope.freq_base") or _THETA
    turned = keys.integer("rope.dimension_count") or head_size
    keys.ignore("rope.scaling.finetuned")
    if not 0 < turned <= head_size or turned % 2:
        keys.fail("rope.dimension_count", f"must be even and at most {head_size}, the size of a head")
    base: dict[str, object] = {"rope_type": "default", "rope_theta": theta}
    if turned != head_size:
        base["partial_rotary_factor"] = turned / head_size
    return {**base, **_scaling(keys, theta, turned)}


def _scaling(keys: Keys, theta: float, turned: int) -> dict[str, object]:
    kind = keys.text("rope.scaling.type") or "linear"
    factor = keys.number("rope.scaling.factor") or keys.number("rope.scale_linear") or 1.0
    if keys.has_tensor(LONG) or keys.has_tensor(SHORT):
        return _long(keys, turned)
    if keys.has_tensor(FACTORS):
        return _by_factors(keys, theta, turned)
    if kind == "yarn" and factor != 1:
        return _yarn(keys, factor)
    if kind not in ("linear", "none", "yarn"):
        keys.fail("rope.scaling.type", "is no scaling of positions that tracetui knows, or its factors aren't there")
    return {"rope_type": "linear", "factor": factor} if factor != 1 and kind == "linear" else {}


def _yarn(keys: Keys, factor: float) -> dict[str, object]:
    fields = {field: keys.number(name) for field, name in _YARN.items()}
    original = keys.integer("rope.scaling.original_context_length")
    scaling: dict[str, object] = {"rope_type": "yarn", "factor": factor}
    scaling |= {field: value for field, value in fields.items() if value is not None}
    if original is not None:
        scaling["original_max_position_embeddings"] = original
    if keys.number("rope.scaling.yarn_ext_factor") not in (None, 1.0, -1.0):
        keys.fail("rope.scaling.yarn_ext_factor", "must be 1: transformers has no such factor")
    return scaling


def _long(keys: Keys, turned: int) -> dict[str, object]:
    """Factors for contexts of the length trained with, and others for longer ones."""
    lists = {
        field: _vector(keys, name, turned).tolist() for field, name in (("long_factor", LONG), ("short_factor", SHORT))
    }
    original = keys.needed_integer("rope.scaling.original_context_length")
    attention = keys.number("rope.scaling.attn_factor")
    scaling: dict[str, object] = {"rope_type": "longrope", **lists, "original_max_position_embeddings": original}
    return scaling if attention is None else {**scaling, "attention_factor": attention}


def _by_factors(keys: Keys, theta: float, turned: int) -> dict[str, object]:
    """By what each frequency is divided: Llama 3's rule if it makes them, else they themselves.

    llama.cpp keeps what the rule makes of a model's configuration, and not its fields.
    """
    factors = _vector(keys, FACTORS, turned)  # [K/2]
    if np.all(factors == 1):
        return {}
    scaling: dict[str, object] = {"rope_type": "llama3", "factor": _shortest(float(factors.max())), **_LLAMA3}
    if np.allclose(factors, _llama3_factors(theta, turned, scaling), rtol=_NEAR, atol=0):
        return scaling
    divisors = [_shortest(factor) for factor in factors.tolist()]
    length = keys.needed_integer("context_length")
    unscaled = {"attention_factor": 1.0, "original_max_position_embeddings": length}
    return {"rope_type": "longrope", "long_factor": divisors, "short_factor": divisors, **unscaled}


def _llama3_factors(theta: float, turned: int, scaling: Mapping[str, object]) -> npt.NDArray[np.float64]:
    """By what Llama 3's rule divides the frequencies, [K/2]: long waves by the factor, short ones by 1."""
    factor, low, high, original = (
        float(str(scaling[field]))
        for field in ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    )
    wavelengths = 2 * math.pi * theta ** (np.arange(0, turned, 2) / turned)  # [K/2]
    smooth = np.clip((original / wavelengths - low) / (high - low), 0, 1)  # [K/2]
    made: npt.NDArray[np.float64] = 1 / ((1 - smooth) / factor + smooth)  # [K/2]
    return made


def _vector(keys: Keys, name: str, turned: int) -> npt.NDArray[np.float64]:
    if not keys.has_tensor(name):
        keys.fail("rope.scaling.type", f"needs {name}, which the file lacks")
    factors = keys.files.vector(name)
    if factors.shape != (turned // 2,) or not np.all(np.isfinite(factors) & (factors > 0)):
        keys.fail("rope.dimension_count", f"{name} must hold half as many factors, all above 0")
    return factors


def _shortest(value: float) -> float:
    """The shortest decimal that the file's float32 can stand for."""
    return float(str(np.float32(value)))
