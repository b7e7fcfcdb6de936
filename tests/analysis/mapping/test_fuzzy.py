"""Proposals are made by shape, order and words, and never against the shapes."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tracetui.analysis.mapping.fuzzy import Unknown, proposals

_names = st.sampled_from(["blocks.0.attn.query", "h.1.ff.fc1", "enc", "b/2/norm", "x.0.key", "q"])
_shapes = st.sampled_from([(1, 4, 8), (4, 8), (4, 6), (1, 2, 4, 4), ()])
_unknown = st.lists(st.builds(Unknown, _names, _shapes, st.sampled_from(["float32", "int64"])), max_size=6)


def unknown(*named: tuple[str, tuple[int, ...]]) -> list[Unknown]:
    return [Unknown(name, shape, "float32") for name, shape in named]


def test_a_port_in_other_words_is_recognised() -> None:
    a = unknown(
        ("model.layers.0.self_attn.q_proj", (1, 5, 8)),
        ("model.layers.0.self_attn.k_proj", (1, 5, 4)),
        ("model.layers.0.mlp.up_proj", (1, 5, 16)),
        ("model.layers.1.self_attn.q_proj", (1, 5, 8)),
    )
    b = unknown(
        ("trunk/block_0/mha/query", (5, 8)),
        ("trunk/block_0/mha/key", (5, 4)),
        ("trunk/block_0/ff/fc1", (5, 16)),
        ("trunk/block_1/mha/query", (5, 8)),
    )
    found = proposals(a, b)
    assert [(one.a, one.b) for one in found] == [(x.name, y.name) for x, y in zip(a, b, strict=True)]
    assert "query in both" in found[0].evidence
    assert "layer 0" in found[0].evidence
    assert "1×5×8 can be 5×8" in found[0].evidence


def test_the_context_is_the_heads_and_a_blocks_own_output_is_the_layer() -> None:
    a = unknown(*((f"block_0/{name}", (1, 5, 8)) for name in ("attn/v", "attn/ctx", "attn/out", "ffn/down", "out")))
    layer = "model.layers.0"
    b = unknown(
        (f"{layer}.self_attn.v_proj", (1, 5, 8)),
        *((f"{layer}.self_attn:{role}", (1, 2, 5, 4)) for role in ("q", "k", "v", "heads")),
        (f"{layer}.self_attn.o_proj", (1, 5, 8)),
        (f"{layer}.mlp.down_proj", (1, 5, 8)),
        (f"{layer}.mlp", (1, 5, 8)),
        (layer, (1, 5, 8)),
    )
    places = [found.b.removeprefix(layer) for found in proposals(a, b)]
    assert places == [".self_attn.v_proj", ".self_attn:heads", ".self_attn.o_proj", ".mlp.down_proj", ""]


def test_what_has_no_like_is_left_out() -> None:
    a = unknown(("a.query", (4, 8)), ("a.key", (4, 8)))
    b = unknown(("b.norm", (3, 3)), ("b.key", (4, 8)))
    assert [(one.a, one.b) for one in proposals(a, b)] == [("a.key", "b.key")]
    assert proposals(a, []) == ()


@given(_unknown, _unknown)
def test_pairs_stand_in_order_and_once(a: list[Unknown], b: list[Unknown]) -> None:
    a = [Unknown(f"{item.name}.a{place}", item.shape, item.dtype) for place, item in enumerate(a)]
    b = [Unknown(f"{item.name}.b{place}", item.shape, item.dtype) for place, item in enumerate(b)]
    found = proposals(a, b)
    places_a = [[item.name for item in a].index(one.a) for one in found]
    places_b = [[item.name for item in b].index(one.b) for one in found]
    assert places_a == sorted(set(places_a))
    assert places_b == sorted(set(places_b))
    for i, j in zip(places_a, places_b, strict=True):
        assert (a[i].dtype == "float32") == (b[j].dtype == "float32")


def test_no_projection_is_taken_for_a_norm_and_no_expert_for_another() -> None:
    layer, shape = "model.layers.0", (1, 12, 64)
    assert not proposals(unknown(("blocks.0.attention_norm", shape)), unknown((f"{layer}.self_attn.q_proj", shape)))
    assert proposals(unknown(("blocks.0.attention.w_q", shape)), unknown((f"{layer}.self_attn.q_proj", shape)))
    down = f"{layer}.mlp.experts.{{}}.down"
    assert not proposals(unknown((down.format(5), shape)), unknown((f"{layer}.mlp.experts.0.down_proj", shape)))
    assert proposals(unknown((down.format(5), shape)), unknown((f"{layer}.mlp.experts.5.down_proj", shape)))


LAYERS = ("model.layers.{}.mlp.gate_proj", "model.layers.{}.mlp.up_proj", "model.layers.{}.mlp.down_proj")
PORT = ("blocks.{}.mlp.a", "blocks.{}.mlp.b", "blocks.{}.mlp.c")


def sized(names: Sequence[str], layers: int, changed: frozenset[str] = frozenset()) -> list[Unknown]:
    """Tensors of one shape, each with values of its own; those of `changed` with others."""
    made = []
    for layer in range(layers):
        for at, name in enumerate(name.format(layer) for name in names):
            size = 10.0 * layer + at + 1 + (0.5 if name in changed else 0.0)
            made.append(Unknown(name, (1, 5, 8), "float32", (size, size / 9, -size, size)))
    return made


def test_what_values_tell_of_some_layers_is_taken_for_the_others() -> None:
    faulty = frozenset(name.format(2) for name in PORT)
    found = proposals(sized(PORT, 3, faulty), sized(LAYERS, 3))
    pairs = [(a.format(layer), b.format(layer)) for layer in range(3) for a, b in zip(PORT, LAYERS, strict=True)]
    assert [(one.a, one.b) for one in found] == pairs
    assert "the same norm, mean and extremes" in found[0].evidence
    assert "the same values in other layers" in found[-1].evidence


def test_words_give_way_to_what_values_tell_of_other_layers() -> None:
    """`up` and `down` mean each other's tensors in this port: so they do where no value tells it."""
    odd = ("blocks.{}.mlp.a", "blocks.{}.mlp.down", "blocks.{}.mlp.up")
    found = proposals(sized(odd, 2, frozenset(name.format(1) for name in odd)), sized(LAYERS, 2))
    assert [one.b.rpartition(".")[2] for one in found] == ["gate_proj", "up_proj", "down_proj"] * 2
    assert not proposals(sized(PORT, 1, frozenset(name.format(0) for name in PORT)), sized(("x.{}.q", "x.{}.k"), 1))
