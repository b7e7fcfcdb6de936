"""Fields of a configuration that explain a number: the value itself, its square root, or one divided by these."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

_NEAR = 2e-3
"""How far apart, relative, a measured number and one that explains it may be."""
_MOST = 2
"""Explanations of one number."""
_SCALES = ("multiplier", "scal", "factor", "softcap", "temperature", "alpha")
"""Parts of the names of fields that are numbers to multiply by."""
_PARTS = ("logit", "embed", "residual", "att")
"""Parts of a model that a field's name may mention: such a field explains no number of another part."""
_SIZES = ("hidden_size", "head_dim", "query_pre_attn_scalar", "num_hidden_layers", "intermediate_size")
_SCALE_FORMS: tuple[tuple[str, Callable[[float], float]], ...] = (
    ("{}", lambda value: value),
    ("1/{}", lambda value: 1 / value),
    ("√{}", math.sqrt),
    ("1/√{}", lambda value: 1 / math.sqrt(value)),
)
_SIZE_FORMS: tuple[tuple[str, Callable[[float], float]], ...] = (
    ("√{}", math.sqrt),
    ("1/√{}", lambda value: 1 / math.sqrt(value)),
    ("{}", lambda value: value),
    ("1/{}", lambda value: 1 / value),
    ("1/√(2·{})", lambda value: 1 / math.sqrt(2 * value)),
    ("√(2·{})", lambda value: math.sqrt(2 * value)),
)


def explained(number: float, config: Mapping[str, object], part: str = "") -> str:
    """` (1/√hidden_size, hidden_size is 64)`; empty where no field explains it, or it explains itself.

    Of a number of one part of the model, `logit` or `embed`, no field of another part is an explanation.
    """
    if not math.isfinite(number) or number <= 0 or number == 1:
        return ""
    reasons = list(dict.fromkeys(_reasons(number, config)))
    if part:
        own = [reason for reason in reasons if part in reason]
        reasons = own or [reason for reason in reasons if not any(other in reason for other in _PARTS)]
    plain = [reason for reason in reasons if reason in config]
    return f" ({' or '.join(plain[:1] or reasons[:_MOST])})" if reasons else ""


def _reasons(number: float, config: Mapping[str, object]) -> Iterator[str]:
    for named, forms in ((_scales(config), _SCALE_FORMS), (_sizes(config), _SIZE_FORMS)):
        for name, value in named:
            for form, made in forms:
                if math.isclose(number, made(value), rel_tol=_NEAR):
                    yield name if form == "{}" else f"{form.format(name)}, {name} is {shown(value)}"


def _scales(config: Mapping[str, object]) -> list[tuple[str, float]]:
    return [
        (name, number)
        for name, value in config.items()
        if any(part in name for part in _SCALES) and (number := _number(value))
    ]


def _sizes(config: Mapping[str, object]) -> list[tuple[str, float]]:
    known = [(name, number) for name in _SIZES if (number := _number(config.get(name)))]
    hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
    if "head_dim" not in dict(known) and isinstance(hidden, int) and isinstance(heads, int) and heads > 0:
        known.insert(1, ("head_dim", hidden / heads))
    return known


def _number(value: object) -> float:
    """The value, if it is a number and multiplying by it changes anything; else 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 < value < math.inf and value != 1 else 0.0


def shown(number: float) -> str:
    """A measured number, with the digits that are sure."""
    return f"{number:.4g}"
