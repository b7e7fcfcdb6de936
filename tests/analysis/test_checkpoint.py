"""A checkpoint's structure: folding, counting, unfolding."""

from __future__ import annotations

import pytest

from tracetui.analysis.checkpoint import (
    BUFFER,
    CheckpointTensor,
    ModulePart,
    active_parameters,
    buffer_values,
    every_tensor,
    fold,
    has_routed,
    plain,
    span,
)

WIDE = (CheckpointTensor("weight", (4, 3)),)
NARROW = (CheckpointTensor("weight", (2, 3)),)


def layer(index: int, tensors: tuple[CheckpointTensor, ...] = WIDE) -> ModulePart:
    return ModulePart(str(index), "Layer", tensors, indices=(index,))


@pytest.mark.parametrize(
    ("indices", "said"),
    [
        ((3,), "3"),
        ((3, 4), "3–4"),
        (range(3, 61), "3–60"),
        ((0, 1, 2, 4, 6), "0–2, 4, 6"),
        (range(0, 48, 2), "0, 2, 4, … 46"),
    ],
)
def test_numbers_are_told_in_few_words(indices: tuple[int, ...], said: str) -> None:
    assert span(indices) == said


def test_parts_of_the_same_structure_are_one() -> None:
    parts = [
        layer(0),
        layer(1, NARROW),
        layer(2),
        layer(3),
        ModulePart("norm", "Norm", NARROW),
        ModulePart("last", "Norm", NARROW),
    ]
    folded = fold(parts)
    assert [(part.name, part.indices) for part in folded] == [
        ("0, 2–3", (0, 2, 3)),
        ("1", (1,)),
        ("norm", ()),
        ("last", ()),
    ]
    assert sum(part.parameters for part in folded) == sum(part.parameters for part in parts)
    assert fold(folded) == folded


def test_what_is_folded_unfolds_to_every_name() -> None:
    experts = ModulePart("experts", children=(ModulePart("0–1", tensors=WIDE, indices=(0, 1)),))
    tree = ModulePart(
        "",
        "Model",
        children=(ModulePart("layers", children=(ModulePart("2, 5", children=(experts,), indices=(2, 5)),)),),
    )
    assert [name for name, _ in every_tensor(tree)] == [
        f"layers.{layer}.experts.{expert}.weight" for layer in (2, 5) for expert in (0, 1)
    ]
    assert tree.parameters == sum(tensor.parameters for _, tensor in every_tensor(tree)) == 48


def test_of_experts_a_token_uses_some_and_of_all_else_everything() -> None:
    apart = ModulePart("0–7", tensors=WIDE, indices=tuple(range(8)), routed=True)
    fused = ModulePart("experts", tensors=(CheckpointTensor("gate_up_proj", (8, 3, 2), routed=True),))
    tree = ModulePart("", tensors=NARROW, children=(apart, ModulePart("0–1", children=(fused,), indices=(0, 1))))
    assert tree.parameters == 6 + 8 * 12 + 2 * 48
    assert active_parameters(tree, 3) == 6 + 3 * 12 + 2 * 3 * 6
    assert active_parameters(tree, 100) == tree.parameters
    assert has_routed(tree)
    assert not has_routed(layer(0))


def test_tied_tensors_and_buffers_are_no_parameters() -> None:
    tensors = (*WIDE, CheckpointTensor("tied", (4, 3), "tied to weight"), CheckpointTensor("bias", (5,), BUFFER))
    tree = ModulePart("", children=(layer(0, tensors), layer(1, tensors)))
    assert tree.parameters == 24
    assert buffer_values(ModulePart("", children=fold(tree.children))) == 10


def test_the_tree_as_data_keeps_what_there_is() -> None:
    tree = ModulePart("", "Model", children=(layer(0), ModulePart("1–2", indices=(1, 2), skipped=True)))
    assert plain(tree) == {
        "name": "",
        "class": "Model",
        "parameters": 12,
        "parts": [
            {
                "name": "0",
                "class": "Layer",
                "parameters": 12,
                "indices": [0],
                "tensors": [{"name": "weight", "shape": [4, 3], "parameters": 12, "note": ""}],
            },
            {"name": "1–2", "class": "", "parameters": 0, "indices": [1, 2], "skipped": True},
        ],
    }
