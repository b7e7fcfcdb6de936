"""The structure as text: 80 columns, nothing that a terminal acts on, every number in its place."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.views.drawn import ANY_TEXT
from tracetui.analysis.checkpoint import BUFFER, CheckpointTensor, ModulePart, OtherName, Structure
from tracetui.views.outline_lines import WIDTH, outline_json, outline_lines, side_by_side, tree_lines

EXPERT = ModulePart(
    "0–7", "", (), (ModulePart("up_proj", "", (CheckpointTensor("weight", (20, 30)),)),), tuple(range(8)), routed=True
)
LAYER = ModulePart(
    "3–60",
    "Layer",
    (),
    (
        ModulePart("mlp", "Block", children=(ModulePart("experts", "Experts", children=(EXPERT,)),)),
        ModulePart("gate", "Router", (CheckpointTensor("weight", (8, 30)), CheckpointTensor("bias", (8,), BUFFER))),
    ),
    tuple(range(3, 61)),
)
SKIPPED = ModulePart("0–2", indices=(0, 1, 2), skipped=True)
TREE = ModulePart(
    "",
    "Model",
    children=(
        ModulePart("model", "Inner", children=(ModulePart("layers", "ModuleList", children=(SKIPPED, LAYER)),)),
        ModulePart("lm_head", "Linear", (CheckpointTensor("weight", (100, 30), "tied to model.embed_tokens.weight"),)),
    ),
)
STRUCTURE = Structure("m", TREE, TREE.parameters, (7, "layer 1 of 4"), 2, 1234, 464)


def squeezed(line: str) -> str:
    return " ".join(line.split())


def test_the_tree_names_every_tensor_once_with_its_shape_and_size() -> None:
    lines = [squeezed(line) for line in tree_lines(TREE)]
    assert lines == [
        "Model 292,320",
        "model Inner 292,320",
        "layers ModuleList 292,320",
        "0–2: 3 × not asked for",
        "3–60: 58 × Layer each 5,040",
        "mlp Block 4,800",
        "experts Experts 4,800",
        "0–7: 8 × each 600",
        "up_proj.weight [20, 30] 600",
        "gate.weight [8, 30] 240",
        "gate.bias [8] a buffer",
        "lm_head.weight [100, 30]",
        "tied to model.embed_tokens.weight",
    ]


def test_the_totals_stand_below() -> None:
    lines = [squeezed(line) for line in outline_lines(STRUCTURE)]
    assert lines[lines.index("") :] == [
        "",
        "in all 292,320 parameters",
        "per token 1,234 active: 2 of each block's experts, all else whole",
        "built 7 in a run with layer 1 of 4",
        "beside 464 values in the files that are no parameters",
    ]
    unknown = Structure("m", TREE, 5, None, None, None, 0)
    assert [squeezed(line) for line in outline_lines(unknown)][-1].startswith("per token 5 at most: how many experts")


def test_two_names_stand_side_by_side_with_the_numbers_for_all() -> None:
    def naming(name: str) -> OtherName | None:
        if "experts" in name:
            return OtherName(name.replace("model.layers.3.mlp", "layers.3.ffn"), remark="turned")
        return None if name.endswith("bias") else OtherName(name)

    lines = [squeezed(line) for line in side_by_side(TREE, naming, ("here", "there"))]
    assert lines == [
        "here there",
        "lm_head the same [100, 30]",
        "model.layers.0–2: 3 × not asked for",
        "model.layers.3–60: 58 ×",
        "mlp.experts.0–7.up_proj ffn.experts.0–7.up_proj [20, 30] *",
        "gate the same [8, 30]",
        "gate.bias has no such tensor [8]",
        "A final .weight is left out.",
        "* turned",
    ]


def test_the_json_is_the_tree() -> None:
    found = json.loads("\n".join(outline_json(STRUCTURE)))
    assert (found["parameters"], found["active_parameters"]) == (292_320, 1234)
    assert found["tree"]["parts"][0]["parts"][0]["parts"][1]["indices"] == list(range(3, 61))


NAMES = ANY_TEXT.filter(lambda text: "." not in text)
SHAPES = st.lists(st.integers(0, 2**31), max_size=3).map(tuple)
TENSORS = st.lists(st.builds(CheckpointTensor, NAMES, SHAPES, st.sampled_from(["", BUFFER]) | ANY_TEXT), max_size=3)
PARTS = st.recursive(
    st.builds(ModulePart, NAMES, NAMES, TENSORS.map(tuple)),
    lambda inner: st.builds(
        ModulePart,
        NAMES,
        NAMES,
        TENSORS.map(tuple),
        st.lists(inner, max_size=3).map(tuple),
        st.sampled_from([(), (1, 2)]),
    ),
    max_leaves=8,
)


@given(PARTS, ANY_TEXT)
def test_no_name_reaches_the_terminal_raw_or_beyond_80_columns(tree: ModulePart, other: str) -> None:
    printed = list(outline_lines(Structure("m", tree, 5, None, None, 5, 0)))
    printed += side_by_side(tree, lambda name: OtherName(other, remark=other), ("here", "there"))
    for line in printed:
        assert not any(unicodedata.category(char)[0] == "C" for char in line)
        assert cell_len(line) <= WIDTH
