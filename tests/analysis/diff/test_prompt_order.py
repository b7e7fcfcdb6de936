"""A dump of a batch whose prompts stand in another order than the reference's."""

from __future__ import annotations

import numpy as np

import tracetui
from tests.analysis.diff.made import normal
from tracetui.recording.value import Array

REFERENCE = {"model.embed_tokens": normal(3, 6, 32), "model.layers.0": normal(3, 6, 32, seed=1)}


def said(port: dict[str, Array]) -> str:
    return " ".join(str(tracetui.diff(port, REFERENCE)).split())


def test_prompts_in_another_order_are_told() -> None:
    text = said({site: array[[0, 2, 1]] for site, array in REFERENCE.items()})
    assert "The prompts of the batch stand in another order" in text
    assert "A's 1 is B's 2, A's 2 is B's 1" in text


def test_a_prompt_that_is_another_is_no_other_order() -> None:
    port = {site: np.concatenate([array[[1, 0]], -array[2:]]) for site, array in REFERENCE.items()}
    assert "another order" not in said(port)


def test_without_a_fault_nothing_is_told() -> None:
    assert "another order" not in said(dict(REFERENCE))
