"""Norms on both sides of a sublayer, or behind it alone, under the names that other implementations have for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tracetui
from tests.analysis.diff.made import normal, trace_of
from tracetui.recording.value import Array

GEMMA = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
GLM = ("input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm")
OLMO = ("post_attention_layernorm", "post_feedforward_layernorm")
LLAMA = ("input_layernorm", "post_attention_layernorm")
META = ("layers.{}", {"q_proj": "attention.wq", "down_proj": "feed_forward.w2"})
GGUF = ("blk.{}", {"q_proj": "attn_q", "down_proj": "ffn_down"})
CORE = ("blocks.{}", {"q_proj": "attention.w_q", "down_proj": "feed_forward.w2"})
MEGATRON = ("decoder.layers.{}", {"q_proj": "self_attention.linear_q_proj", "down_proj": "mlp.linear_fc2"})
LENS = ("blocks.{}", {"q_proj": "attn.hook_q", "down_proj": ""})
"""It has no hook at what the last matrix makes where a norm follows."""
Names = tuple[str, dict[str, str]]

PORTS = {
    "Gemma, Meta's": (META, GEMMA, ("attention_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")),
    "Gemma, GGUF": (GGUF, GEMMA, ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")),
    "Gemma, OLMo-core's": (
        CORE,
        GEMMA,
        ("attention_norm", "post_attention_norm", "feed_forward_norm", "post_feed_forward_norm"),
    ),
    "Gemma, Megatron's": (
        MEGATRON,
        GEMMA,
        (
            "input_layernorm",
            "self_attention.linear_proj.post_layernorm",
            "pre_mlp_layernorm",
            "mlp.linear_fc2.post_layernorm",
        ),
    ),
    "Gemma, TransformerLens'": (
        LENS,
        GEMMA,
        tuple(f"ln{name}.hook_normalized" for name in ("1", "1_post", "2", "2_post")),
    ),
    "GLM, Meta's": (META, GLM, ("attention_norm", "post_attention_norm", "ffn_norm", "post_ffn_norm")),
    "OLMo 2, OLMo-core's": (CORE, OLMO, ("attention_norm", "feed_forward_norm")),
    "OLMo 2, GGUF": (GGUF, OLMO, ("post_attention_norm", "post_ffw_norm")),
    "Llama, OLMo-core's": (CORE, LLAMA, ("attention_norm", "feed_forward_norm")),
    "Llama, Meta's": (META, LLAMA, ("attention_norm", "ffn_norm")),
}


def model(norms: tuple[str, ...]) -> dict[str, Array]:
    sites = ("self_attn.q_proj", *norms[: len(norms) // 2], *norms[len(norms) // 2 :], "mlp.down_proj")
    return {
        f"model.layers.{layer}.{site}": normal(1, 6, 8, seed=10 * layer + at)
        for layer in range(2)
        for at, site in enumerate(sites)
    }


def port(names: Names, theirs: tuple[str, ...], own: tuple[str, ...], arrays: dict[str, Array]) -> dict[str, Array]:
    layers, sublayers = names
    known = {"self_attn.q_proj": sublayers["q_proj"], "mlp.down_proj": sublayers["down_proj"]}
    known |= dict(zip(theirs, own, strict=True))
    made = {}
    for site, array in arrays.items():
        _, _, layer, inside = site.split(".", 3)
        if known[inside]:
            made[f"{layers.format(layer)}.{known[inside]}"] = array
    return made


@pytest.mark.parametrize("name", PORTS)
def test_norms_stand_where_the_model_has_them(name: str) -> None:
    names, theirs, own = PORTS[name]
    right = model(theirs)
    reference = trace_of(right, tokens=[range(6)])
    for diff in (
        tracetui.diff(port(names, theirs, own, right), reference),
        tracetui.diff(reference, port(names, theirs, own, right)),
        tracetui.diff(port(names, theirs, own, right), right),
    ):
        assert diff.same, str(diff)
        assert len(diff.sites) == len(port(names, theirs, own, right))


@pytest.mark.parametrize("name", PORTS)
@pytest.mark.parametrize("place", [0, -1])
def test_a_fault_in_one_norm_is_named(name: str, place: int) -> None:
    names, theirs, own = PORTS[name]
    right, site = model(theirs), f"model.layers.1.{theirs[place]}"
    wrong = port(names, theirs, own, {**right, site: normal(1, 6, 8, seed=99)})
    diff = tracetui.diff(wrong, trace_of(right, tokens=[range(6)]))
    assert [found.site for found in diff.sites if found.outcome.name == "DIFFERENT"] == [site]


def test_a_norm_that_all_layers_have_wrong_is_no_other_norm() -> None:
    names, theirs, own = PORTS["Gemma, Meta's"]
    right = model(theirs)
    wrong = {site: array + 1 if site.endswith("pre_feedforward_layernorm") else array for site, array in right.items()}
    diff = tracetui.diff(port(names, theirs, own, wrong), trace_of(right, tokens=[range(6)]))
    found = {found.site for found in diff.sites if found.outcome.name == "DIFFERENT"}
    assert found == {f"model.layers.{layer}.pre_feedforward_layernorm" for layer in range(2)}


def test_what_a_sublayer_adds_is_behind_its_norm_in_transformer_lens() -> None:
    places = {
        "self_attn": None,
        "post_attention_layernorm": "hook_attn_out",
        "mlp.up_proj": "mlp.hook_pre_linear",
        "mlp": None,
        "post_feedforward_layernorm": "hook_mlp_out",
        "pre_feedforward_layernorm": None,
    }
    right = {
        f"model.layers.{layer}.{place}": normal(1, 6, 8, seed=10 * layer + at)
        for layer in range(2)
        for at, place in enumerate(places)
    }
    hooks = {
        f"blocks.{layer}.{name}": right[f"model.layers.{layer}.{place}"]
        for layer in range(2)
        for place, name in places.items()
        if name is not None
    }
    for layer in range(2):
        unweighed = right[f"model.layers.{layer}.self_attn"]
        hooks[f"blocks.{layer}.ln1_post.hook_normalized"] = unweighed / np.sqrt(
            np.square(unweighed).mean(-1)[..., None]
        )
    reference = trace_of(right, tokens=[range(6)])
    diff = tracetui.diff(hooks, reference)
    assert diff.same, str(diff)
    assert {site.site.split(".", 3)[3] for site in diff.sites} == {place for place, name in places.items() if name}
    wrong = {**hooks, "blocks.1.hook_mlp_out": hooks["blocks.1.hook_mlp_out"] * 2}
    diff = tracetui.diff(wrong, reference)
    assert diff.first is not None
    assert diff.first.site == "model.layers.1.post_feedforward_layernorm"


def test_the_stream_that_a_norm_hands_on_is_no_other_input_of_what_follows() -> None:
    """vLLM's norms return what they made, and the stream beside it."""
    layer = "model.layers.1"
    right = {
        f"{layer}.post_attention_layernorm": normal(1, 6, 8, seed=1),
        f"{layer}.pre_feedforward_layernorm": normal(1, 6, 8, seed=2),
        f"{layer}.mlp.up_proj": normal(1, 6, 12, seed=3),
        f"{layer}.post_feedforward_layernorm": normal(1, 6, 8, seed=4),
    }
    plain = trace_of(right, tokens=[range(6)])
    records = tuple(
        replace(each, inputs=(each.index - 1,)) if "up_proj" in each.site else each for each in plain.records
    )
    wrong = {**right, f"{layer}.mlp.up_proj": right[f"{layer}.mlp.up_proj"] * np.float32(1.5)}
    stream = normal(1, 6, 8, seed=5)
    for name in (f"{layer}.pre_feedforward_layernorm#1", f"{layer}.other_norm#1"):
        places = list(wrong.items())
        places.insert(2, (name, stream))
        diff = tracetui.diff(dict(places), replace(plain, records=records))
        assert diff.first is not None
        assert diff.first.site == f"{layer}.mlp.up_proj"
        assert "gives" not in diff.verdict
