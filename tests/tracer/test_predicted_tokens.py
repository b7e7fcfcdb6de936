"""The best of many logits are found among those alone that may be."""

from __future__ import annotations

import numpy as np
import pytest

from tracetui.tracer.predicted_tokens import best_of


def logits(size: int, kind: str) -> np.ndarray:
    made = np.random.default_rng(size).normal(size=size).astype(np.float32)
    match kind:
        case "ties":
            made = made.round()
        case "NaN here and there":
            made[::3] = np.nan
        case "hardly any number":
            made[7:] = np.nan
        case "infinities":
            made[::50], made[1::50] = np.inf, -np.inf
    return made


@pytest.mark.parametrize("kind", ["plain", "ties", "NaN here and there", "hardly any number", "infinities"])
@pytest.mark.parametrize("size", [3, 500, 12_800, 32_001])
def test_the_best_are_those_of_all(size: int, kind: str) -> None:
    made = logits(size, kind)
    best = best_of(made, 100)
    assert len(set(best.tolist())) == len(best) == min(size, 100)
    ordered = np.sort(np.nan_to_num(made, nan=-np.inf, posinf=np.inf, neginf=-np.inf))[::-1]
    np.testing.assert_array_equal(
        np.sort(np.nan_to_num(made[best], nan=-np.inf, posinf=np.inf, neginf=-np.inf))[::-1], ordered[: len(best)]
    )
