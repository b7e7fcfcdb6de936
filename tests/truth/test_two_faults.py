"""Two mistakes in different layers: the first is named as if it were alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

import tracetui
from tests.truth.decoder import Decoder
from tests.truth.families import FAMILIES, IDS
from tests.truth.fault import Fault
from tests.truth.forward import dump
from tests.truth.planted import FAULTS

BY_NAME = {(fault.name, family): fault for fault in FAULTS for family in fault.families.split()}
PAIRS = (
    ("half of o not read", "biases left out", "llama", "model.layers.0.self_attn.o_proj", "weight-rows"),
    ("biases left out", "half of down zero", "llama", "model.layers.0.self_attn.q_proj", "bias"),
    ("gate and up swapped", "norms swapped", "llama", "model.layers.0.mlp.gate_proj", "swapped-weights"),
    ("biases left out", "o transposed", "glm4", "model.layers.0.self_attn.q_proj", "bias"),
    ("norms swapped", "o transposed", "glm4", "model.layers.0.input_layernorm", "norm-scale"),
)


def in_layer(decoder: Decoder, fault: Fault, layer: int) -> Decoder:
    """A decoder with a fault's weights in one layer alone."""
    path = f"model.layers.{layer}."
    changed = fault.change(decoder).weights
    own = {name: value for name, value in changed.items() if name.startswith(path)}
    rest = {name: value for name, value in decoder.weights.items() if not name.startswith(path)}
    return replace(decoder, weights={**rest, **own})


@pytest.mark.parametrize("kind", ["hooks", "full"])
@pytest.mark.parametrize(("first", "second", "family", "site", "hint"), PAIRS)
def test_the_first_of_two_is_named(first: str, second: str, family: str, site: str, hint: str, kind: str) -> None:
    model = FAMILIES[family]()
    faults = [BY_NAME.get((name, family)) or next(f for f in FAULTS if f.name == name) for name in (first, second)]
    both = in_layer(in_layer(model.decoder, faults[0], 0), faults[1], 2)
    alone = in_layer(model.decoder, faults[0], 0)
    diffs = [tracetui.diff(dump(decoder, IDS, kind), model.reference) for decoder in (both, alone)]
    findings = [diff.report.finding for diff in diffs]
    assert all(finding is not None for finding in findings)
    assert [finding.site.site for finding in findings if finding] == [site, site]
    assert [[each.name for each in finding.hints] for finding in findings if finding] == [[hint], [hint]]
