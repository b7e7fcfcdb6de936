"""Laws by which the pairs of a head turn: a base, linear scaling, and those that a configuration describes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracetui.analysis.diff.arrays import Numbers

Fields = Mapping[str, object]
ALIKE = 0.02
"""How far apart, relative, two speeds are that are the same."""
_FEWEST = 3
"""Pairs without which a line with a start of its own proves nothing."""


@dataclass(frozen=True, slots=True)
class Law:
    """What makes the speeds of all pairs."""

    base: float
    factor: float = 1.0
    """By which positions are divided."""
    kind: str = "linear"
    """Of the scaling, where the factor isn't 1."""


def law_of(speeds: Numbers, known: npt.NDArray[np.bool_], configs: list[Fields]) -> Law | None:
    """The law that the measured speeds [R/2] follow; None if they follow none that is known."""
    places = np.flatnonzero(known)
    if len(places) < 2 or speeds[places].min() <= 0:
        return None
    share = places / len(speeds)  # 2j/R
    logs = -np.log(speeds[places])
    slope = float((share * logs).sum()) / float(np.square(share).sum())
    if 0 < slope < 100 and float(np.abs(logs - share * slope).max()) < ALIKE:
        return Law(math.exp(slope))
    for fields in configs:
        for law, expected in _configured(fields, len(speeds)):
            if float(np.abs(speeds[places] / expected[places] - 1).max()) < ALIKE:
                return law
    if len(places) < _FEWEST:
        return None
    slope, start = (float(found) for found in np.polyfit(share, logs, 1))
    if 0 < slope < 100 and float(np.abs(logs - share * slope - start).max()) < ALIKE:
        return Law(math.exp(slope), math.exp(start))
    return None


def rope_fields(config: Fields) -> list[Fields]:
    """What a configuration says of its rotations, one for each kind of layer."""
    nested = config.get("rope_parameters") or config.get("rope_scaling")
    outer = {name: config[name] for name in ("rope_theta", "max_position_embeddings") if name in config}
    if not isinstance(nested, Mapping):
        return [outer]
    kinds = [fields for fields in nested.values() if isinstance(fields, Mapping)]
    flat = [] if kinds and "rope_type" not in nested else [nested]
    return [{**outer, **fields} for fields in (*flat, *kinds)]


def _configured(fields: Fields, pairs: int) -> Iterator[tuple[Law, Numbers]]:
    base, factor = _number(fields, "rope_theta", 10_000.0), _number(fields, "factor", 1.0)
    kind = str(fields.get("rope_type", fields.get("type", "")))
    plain = base ** -(np.arange(pairs) / pairs)  # [R/2]
    yield Law(base), plain
    yield Law(base, factor), plain / factor
    if kind == "llama3":
        yield Law(base, factor, kind), _llama3(plain, fields, factor)
    if kind == "yarn":
        yield Law(base, factor, kind), _yarn(plain, fields, base, factor)
    if kind in ("longrope", "su"):
        for name in ("short_factor", "long_factor"):
            factors = fields.get(name)
            if isinstance(factors, list) and len(factors) == pairs:
                yield Law(base, factor, f"longrope's {name}"), plain / np.array(factors, dtype=np.float64)


def _llama3(plain: Numbers, fields: Fields, factor: float) -> Numbers:
    low, high = _number(fields, "low_freq_factor", 1.0), _number(fields, "high_freq_factor", 4.0)
    length = _number(fields, "original_max_position_embeddings", 8192.0)
    smooth = np.clip((length * plain / (2 * math.pi) - low) / max(high - low, 1e-9), 0, 1)
    return np.asarray((1 - smooth) * plain / factor + smooth * plain)


def _yarn(plain: Numbers, fields: Fields, base: float, factor: float) -> Numbers:
    length = _number(fields, "original_max_position_embeddings", _number(fields, "max_position_embeddings", 4096.0))
    pairs = len(plain)

    def place(turns: float) -> float:
        return pairs * math.log(length / (turns * 2 * math.pi)) / math.log(base)

    low, high = place(_number(fields, "beta_fast", 32.0)), place(_number(fields, "beta_slow", 1.0))
    if fields.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * pairs - 1)
    ramp = np.clip((np.arange(pairs) - low) / max(high - low, 1e-3), 0, 1)
    return np.asarray(plain / factor * ramp + plain * (1 - ramp))


def _number(fields: Fields, name: str, usual: float) -> float:
    value = fields.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else usual
