"""What a scan over layers returns, all layers in one tensor, is compared layer by layer."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import report
from tracetui.recording.value import Array

_PLACES = (".input_layernorm", ".mlp.up_proj", "")
_LAYERS = 3


def _by_layer() -> dict[str, Array]:
    return {
        f"model.layers.{layer}{place}": normal(1, 5, 8, seed=10 * layer + at)
        for layer in range(_LAYERS)
        for at, place in enumerate(_PLACES)
    }


def _stacked(prefix: str, sign: str = ".") -> dict[str, Array]:
    arrays = _by_layer()
    return {
        prefix + place.replace(".", sign): np.stack(
            [arrays[f"model.layers.{layer}{place}"] for layer in range(_LAYERS)]
        )
        for place in _PLACES
    }


@pytest.mark.parametrize(("prefix", "sign"), [("model.layers", "."), ("layers", "."), ("model/layers", "/")])
def test_tensors_of_all_layers_are_taken_apart(prefix: str, sign: str) -> None:
    found = report(trace_of(_stacked(prefix, sign), dump=True), trace_of(_by_layer()))
    assert found.comparison.same
    assert found.comparison.compared == len(_by_layer())
    assert found.positions == ("A's tensors of all layers are taken apart along their first axis",)


def test_a_fault_in_one_of_them_is_told_in_its_layer() -> None:
    wrong = _stacked("model.layers")
    wrong["model.layers.mlp.up_proj"][1] *= 1.2
    found = report(trace_of(wrong, dump=True), trace_of(_by_layer()))
    assert [site.site for site in found.comparison.different] == ["model.layers.1.mlp.up_proj"]


def test_a_batch_of_as_many_prompts_is_no_stack() -> None:
    """Beside names with numbers nothing is taken apart."""
    batch = {name: np.repeat(array, _LAYERS, axis=0) for name, array in _by_layer().items()}
    found = report(trace_of(batch, dump=True), trace_of(batch))
    assert found.comparison.same
    assert not found.positions
