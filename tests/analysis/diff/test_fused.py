"""A fused projection in any order, and layers numbered from 1: the same model, whose numbers say what stands where."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

import tracetui
from tests.analysis.diff.made import normal
from tracetui.recording.value import Array

REFERENCE = {
    "model.embed_tokens": normal(1, 6, 32, seed=90),
    **{
        f"model.layers.{layer}{place}": normal(1, 6, width, seed=10 * layer + at)
        for layer in range(3)
        for at, (place, width) in enumerate(
            [
                (".input_layernorm", 32),
                (".self_attn.q_proj", 32),
                (".self_attn.k_proj", 16),
                (".self_attn.v_proj", 16),
                (".mlp.gate_proj", 24),
                (".mlp.up_proj", 24),
                ("", 32),
            ]
        )
    },
}


def grouped(*pieces: Array, groups: int) -> Array:
    """A share of each piece, group by group."""
    split = [piece.reshape(1, 6, groups, -1) for piece in pieces]
    return np.concatenate(split, axis=-1).reshape(1, 6, -1)


def fused(
    reference: Mapping[str, Array], place: str, parts: tuple[str, ...], put: Callable[..., Array]
) -> dict[str, Array]:
    made = dict(reference)
    for layer in range(3):
        block = f"model.layers.{layer}.{place}"
        made[f"{block}"] = put(*(made.pop(f"{block.rpartition('.')[0]}.{part}") for part in parts))
    return made


def qkv(put: Callable[..., Array], reference: Mapping[str, Array] = REFERENCE) -> dict[str, Array]:
    return fused(reference, "self_attn.qkv_proj", ("q_proj", "k_proj", "v_proj"), put)


ORDERS: dict[str, Callable[..., Array]] = {
    "one after the other": lambda q, k, v: np.concatenate([q, k, v], -1),
    "another order": lambda q, k, v: np.concatenate([k, v, q], -1),
    "by key-value heads": lambda q, k, v: grouped(q, k, v, groups=2),
    "by heads, v first": lambda q, k, v: grouped(v, q, k, groups=4),
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_fused_projection_is_the_same_in_whatever_order(order: str) -> None:
    diff = tracetui.diff(qkv(ORDERS[order]), REFERENCE)
    assert diff.same, str(diff)
    assert len(diff.sites) == len(REFERENCE)
    assert tracetui.diff(REFERENCE, qkv(ORDERS[order])).same


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("layer", [0, 1])
def test_a_fault_in_one_layers_piece_is_named(order: str, layer: int) -> None:
    site = f"model.layers.{layer}.self_attn.k_proj"
    diff = tracetui.diff(qkv(ORDERS[order], {**REFERENCE, site: REFERENCE[site] * np.float32(1.2)}), REFERENCE)
    assert diff.first is not None
    assert [found.site for found in diff.sites if found.outcome.name == "DIFFERENT"] == [site]


def test_gate_and_up_may_alternate() -> None:
    port = fused(REFERENCE, "mlp.gate_up_proj", ("gate_proj", "up_proj"), lambda *parts: grouped(*parts, groups=24))
    diff = tracetui.diff(port, REFERENCE)
    assert diff.same, str(diff)
    assert len(diff.sites) == len(REFERENCE)


def numbered(arrays: Mapping[str, Array], by: int = 1) -> dict[str, Array]:
    moved = {}
    for site, array in arrays.items():
        *start, rest = site.split("layers.")
        number, dot, inside = rest.partition(".")
        moved[f"model.layers.{int(number) + by}{dot}{inside}" if start else site] = array
    return moved


def test_layers_that_a_port_numbers_from_one_stand_beside_those_from_zero() -> None:
    for diff in (tracetui.diff(numbered(REFERENCE), REFERENCE), tracetui.diff(REFERENCE, numbered(REFERENCE))):
        assert diff.same, str(diff)
        assert len(diff.sites) == len(REFERENCE)


def test_a_fault_in_a_port_numbered_from_one_is_told_in_its_layer() -> None:
    site = "model.layers.1.mlp.up_proj"
    diff = tracetui.diff(numbered({**REFERENCE, site: -REFERENCE[site]}), REFERENCE)
    assert diff.first is not None
    assert diff.first.site == site


def test_a_port_that_lacks_the_first_layer_keeps_its_numbers() -> None:
    later = {site: array for site, array in REFERENCE.items() if "layers.0" not in site}
    earlier = {site: array for site, array in REFERENCE.items() if "layers.2" not in site}
    diff = tracetui.diff(later, earlier)
    assert diff.first is None
    assert {found.pair.record.layer for found in diff.sites} == {None, 1}
