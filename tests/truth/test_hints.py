"""Each hint names its own mistake, with its numbers, and keeps silent beside a neighbouring one."""

from __future__ import annotations

import numpy as np
import pytest

import tracetui
from tests.truth.dumps import KINDS
from tests.truth.families import FAMILIES, IDS
from tests.truth.forward import dump
from tests.truth.judge import Share, judged
from tests.truth.planted import FAULTS

BY_NAME = {(fault.name, family): fault for fault in FAULTS for family in fault.families.split()}
OWN = (
    ("embedding not scaled", "gemma2", "layers", "factor", "0.125·B everywhere (1/√hidden_size"),
    ("1 added twice", "gemma2", "hooks", "norm-scale", "A multiplies with 2 + w where B's (gemma2) has 1 + w"),
    ("1 + w left out", "gemma2", "hooks", "norm-scale", "A multiplies with w where B's (gemma2) has 1 + w"),
    ("1 added to w", "llama", "hooks", "norm-scale", "A multiplies with 1 + w where B's (llama) has w"),
    ("mean taken off", "llama", "hooks", "norm-mean", "A takes the mean off first"),
    ("q_norm over all heads", "qwen3", "hooks", "qk-norm", "A normalises all heads of a token at once"),
    ("residual not multiplied", "granite", "hooks", "residual-factor", "1·self_attn in A, 0.22 (residual_multiplier)"),
    ("feed-forward not added", "qwen3", "hooks", "residual-factor", "0·mlp in A, 1 in B"),
    ("residual of the norm", "llama", "hooks", "residual-source", "A takes up what input_layernorm made"),
    ("window left out", "gemma2", "full", "window", "see all before them, B's 4 keys back"),
    ("window one too wide", "gemma2", "full", "window", "see 5 keys back, themselves included, B's 4 keys back"),
    ("windows in the other layers", "gemma2", "full", "window", "layers 0, 2 have one"),
    ("window left out", "phi3", "layers", "window", "A window of 5 keys, as B has it, is left out or wider in A"),
    ("window one too narrow", "phi3", "hooks", "window", "A's queries see 4 keys back, themselves included, B's 5"),
    ("window added", "qwen3", "full", "window", "A's queries see 6 keys back, themselves included, B's all before"),
    ("softcap left out", "gemma2", "full", "softcap", "capped at 2 (attn_logit_softcapping) in B alone"),
    ("another softcap", "gemma2", "full", "softcap", "capped at 50 in A, 2 in B"),
    ("softcap left out", "gemma2", "qkv", "scores", "nothing else: the softmax scale, the softcap (B's is 2)"),
    (
        "scale of the hidden size",
        "llama",
        "full",
        "softmax-scale",
        "0.125 (1/√hidden_size, hidden_size is 64) in A",
    ),
    ("alibi added", "qwen3", "full", "position-bias", "A alone takes a bias off the scores"),
    ("q_norm left out", "qwen3", "hooks", "scores", "q_norm and k_norm (left out, or after RoPE)"),
    ("another base, half turned", "phi3", "qkv", "rope-base", "(rope_theta) is 1,000,000 in A, 10,000 in B"),
    ("another base for k", "qwen3", "qkv", "rope-base", "(rope_theta) is 500,000 in A, 10,000 in B"),
    ("exponents of the whole head", "phi3", "qkv", "rope-base", "10,000 with exponents of the whole head of 16 in A"),
    ("base and scaling", "qwen3", "qkv", "rope-base", "500,000 in A, 10,000 in B; RoPE's positions are divided by 4"),
    (
        "positions divided",
        "granite",
        "full",
        "rope-scaling",
        "divided by 4 (linear scaling) in A, which B doesn't have",
    ),
    ("llama3's scaling left out", "llama", "qkv", "rope-scaling", "as llama3 does, factor 8 (rope_parameters) in B"),
    ("attention factor", "phi3", "qkv", "rope-scaling", "multiplied by 1.2 in A, 1 in B"),
    ("turned whole", "phi3", "qkv", "rope-partial", "16 of a head's 16 values in A, 8 in B"),
    ("half turned", "gemma2", "qkv", "rope-partial", "8 of a head's 16 values in A, 16 in B"),
    ("pairs turned", "phi3", "qkv", "rope-layout", "A turns adjacent pairs, B halves"),
    ("turned back", "qwen3", "qkv", "rope-direction", "in opposite directions in A and B"),
    ("positions from 1", "phi3", "qkv", "position-offset", "A's positions are 1 further on"),
    ("keys one further", "qwen3", "qkv", "position-offset", "A's positions are 1 further on"),
    ("no rotation", "phi3", "qkv", "rope-missing", "A doesn't turn by positions at all"),
    ("v turned too", "qwen3", "qkv", "rope-extra", "A turns v by its positions, too"),
    ("q_norm left out", "qwen3", "qkv", "qk-norm", "A doesn't normalise them, B normalises them before RoPE"),
    ("qkv by groups", "llama", "qkv", "fused-layout", "A's are q0, q1, k0, v0 of the projections, B's q0, q1, q2, q3"),
    ("qkv by groups", "phi3", "qkv", "fused-layout", "by the lengths of all heads"),
    ("v first in qkv", "phi3", "qkv", "fused-layout", "by the lengths of all heads"),
    ("embedding not multiplied", "granite", "hooks", "residual-factor", "in A, 12 (embedding_multiplier) in B"),
    ("norm after attention left out", "gemma2", "hooks", "norm-missing", "post_attention_layernorm is left out in A"),
    (
        "norm after the feed-forward left out",
        "gemma2",
        "full",
        "norm-missing",
        "post_feedforward_layernorm is left out",
    ),
    ("q_norm after the rotation", "qwen3", "qkv", "qk-norm", "q_norm is applied after RoPE in A, before it in B"),
    ("relu for silu", "qwen3", "hooks", "activation", "looks like relu of gate in A, where it is silu of gate in B"),
    ("exact gelu", "gemma2", "hooks", "activation", "gelu (exact) of gate in A, where it is gelu (tanh) of gate in B"),
    ("logits not divided", "granite", "layers", "factor", "A = 8·B everywhere (logits_scaling)"),
    ("logits not capped", "gemma2", "layers", "softcap", "not capped in A, capped at 3 (final_logit_softcapping)"),
    ("another cap of the logits", "gemma2", "layers", "softcap", "capped at 30 in A, capped at 3"),
    ("another base, half turned", "glm4", "qkv", "rope-base", "(rope_theta) is 1,000,000 in A, 10,000 in B"),
    ("keys not turned", "deepseek_v3", "qkv", "rope-missing", "A doesn't turn by positions at all"),
    ("halves turned", "deepseek_v3", "qkv", "rope-layout", "A turns halves, B adjacent pairs"),
    ("one base for all layers", "gemma3", "qkv", "rope-base", "is 1,000,000 in A, 10,000 in B"),
    ("norms of q and k swapped", "gemma3", "hooks", "norm-scale", "The norm's weight is another"),
    ("divided by the mean square", "qwen3", "hooks", "norm-scale", "divides once more by the root mean square"),
    ("q transposed", "glm4", "hooks", "transposed-weight", "The weight is transposed"),
    ("one norm scaled", "deepseek_v3", "layers", "scores", "the scale of what enters attention"),
    ("layers swapped", "qwen3", "hooks", "layer-weights", "of layer 1 has the weight of B's layer 2"),
    ("layer left out", "llama", "full", "layer-weights", "of layer 1 has the weight of B's layer 2"),
    ("layer twice", "phi3", "hooks", "layer-weights", "of layer 2 has the weight of B's layer 1"),
    ("half of o not read", "glm4", "full", "weight-rows", "Only rows 32 to 63 of o_proj's weight are others"),
    ("half of down zero", "llama", "hooks", "weight-rows", "Rows 32 to 63 of down_proj's weight are zeros in A"),
    ("a token's embedding zero", "gemma3", "layers", "embedding-row", "Only the embedding of token 42 is another"),
    ("another base, half turned", "gpt_neox", "qkv", "rope-base", "(rope_theta) is 1,000,000 in A, 10,000 in B"),
    ("mean not taken off", "gpt_neox", "hooks", "norm-mean", "B takes the mean off first"),
    ("no scale", "gpt_neox", "full", "softmax-scale", "1 in A"),
    ("residual of the norm", "gpt_neox", "hooks", "residual-source", "what input_layernorm made"),
    ("one norm scaled", "gpt_neox", "hooks", "norm-scale", "from 1.5 to 1.5"),
    ("selection bias left out", "deepseek_v3", "full", "expert-choice", "A leaves out the selection bias"),
    ("epsilon", "gpt_neox", "hooks", "norm-epsilon", "epsilon is larger in A by 0.00299"),
    (
        "relu for gelu",
        "gpt_neox",
        "hooks",
        "activation",
        "relu of up_proj in A, where it is gelu (exact) of up_proj in B",
    ),
    ("one sublayer after the other", "gpt_neox", "hooks", "residual-factor", "1·self_attn in A, 0 in B"),
    (
        "norm of the key-value latent left out",
        "deepseek_v3",
        "hooks",
        "norm-missing",
        "kv_a_layernorm is left out in A",
    ),
    ("norm of the query latent left out", "deepseek_v3", "hooks", "norm-missing", "q_a_layernorm is left out in A"),
    ("three groups used", "deepseek_v3", "hooks", "expert-choice", "or A takes the best 3 of 4 groups, B 2"),
    ("shared expert's gate left out", "qwen2_moe", "hooks", "expert-sum", "A adds the shared expert without its gate"),
)
TURNED_ROUND = (
    ("window left out", "phi3", "layers", "A window of 5 keys, as A has it, is left out or wider in B"),
    ("window one too narrow", "phi3", "hooks", "B's queries see 4 keys back, themselves included, A's 5"),
    ("softcap left out", "gemma2", "qkv", "the softcap (A's is 2)"),
    ("norm after the feed-forward left out", "gemma2", "full", "post_feedforward_layernorm is left out in B"),
    ("logits not divided", "granite", "layers", "A = 0.125·B everywhere (1/logits_scaling"),
)
"""Where the model is A and the mistaken port B."""
NEIGHBOURS = (
    ("one matrix damaged", "qwen3", "full"),
    ("heads merged as they lie", "llama", "full"),
    ("no mask", "gemma2", "full"),
    ("mask one behind", "qwen3", "qkv"),
    ("key-value heads tiled", "gemma2", "layers"),
    ("epsilon", "llama", "hooks"),
    ("norms swapped", "llama", "hooks"),
    ("first norm left out", "phi3", "full"),
    ("bias of o left out", "llama", "full"),
    ("head tied", "qwen3", "layers"),
    ("down damaged", "llama", "hooks"),
    ("down damaged", "gemma2", "full"),
    ("down scaled", "qwen3", "hooks"),
    ("experts' weights scaled", "qwen3_moe", "hooks"),
    ("o transposed", "gemma2", "full"),
    ("epsilon", "gemma3", "layers"),
    ("mask one ahead", "qwen2_moe", "layers"),
    ("feed-forward not added", "qwen2_moe", "layers"),
    ("epsilon", "deepseek_v3", "hooks"),
    ("norms swapped", "glm4", "hooks"),
    ("turned back", "glm4", "qkv"),
    ("half turned", "gemma2", "qkv"),
    ("one matrix damaged", "glm4", "hooks"),
    ("bias of k left out", "glm4", "hooks"),
    ("embedding not scaled", "gemma3", "layers"),
    ("embedding not multiplied", "granite", "layers"),
    ("worst experts", "qwen3_moe", "layers"),
    ("activation on up", "qwen3", "hooks"),
    ("gelu for silu", "llama", "hooks"),
    ("down damaged", "gpt_neox", "hooks"),
    ("weight of a norm left out", "gpt_neox", "hooks"),
    ("cache not appended", "qwen3", "hooks"),
    ("cache off by one", "gemma2", "qkv"),
)
"""Mistakes beside which no hint but their own may be given, which `judged` sees to."""


def told(name: str, family: str, kind: str) -> str:
    """All that is said of a mistake, in one line."""
    judgement = judged(FAMILIES[family](), BY_NAME[name, family], kind)
    assert judgement is not None
    assert judgement.share is Share.RIGHT, judgement.text
    return " ".join(judgement.text.split())


@pytest.mark.parametrize(("name", "family", "kind", "hint", "words"), OWN)
def test_a_mistake_is_named_with_its_numbers(name: str, family: str, kind: str, hint: str, words: str) -> None:
    assert hint in BY_NAME[name, family].hints.split()
    assert words in told(name, family, kind)


@pytest.mark.parametrize(("name", "family", "kind"), NEIGHBOURS)
def test_a_neighbouring_mistake_gets_no_other_name(name: str, family: str, kind: str) -> None:
    told(name, family, kind)


@pytest.mark.parametrize(("name", "family", "kind", "words"), TURNED_ROUND)
def test_each_side_is_named_as_itself(name: str, family: str, kind: str, words: str) -> None:
    model = FAMILIES[family]()
    diff = tracetui.diff(model.reference, dump(BY_NAME[name, family].change(model.decoder), IDS, kind))
    assert words in " ".join(diff.explained.split())


def test_of_two_dumps_nobody_knows_whose_window_it_is() -> None:
    decoder = FAMILIES["phi3"]().decoder
    sides = [dump(each, IDS, "layers") for each in (BY_NAME["window left out", "phi3"].change(decoder), decoder)]
    for a, b in (sides, sides[::-1]):
        (hint,) = tracetui.diff(a, b).report.hints
        assert hint.title.startswith("One side's queries see 5 keys back")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_without_a_mistake_is_the_same(family: str, kind: str) -> None:
    model = FAMILIES[family]()
    assert tracetui.diff(dump(model.decoder, IDS, kind), model.reference).same


def test_rows_that_are_all_alike_give_no_hint_and_no_error() -> None:
    width, layer = 32, "model.layers.0.mlp"
    shared = {f"{layer}.{name}": np.ones((1, 8, width), dtype=np.float32) for name in ("gate_proj", "up_proj")}
    silu = np.full((1, 8, width), 1 / (1 + np.exp(-1)), dtype=np.float32)
    made = np.random.default_rng(0).normal(size=(2, 1, 8, width)).astype(np.float32)
    reference = {**shared, f"{layer}.down_proj:input": silu, f"{layer}.down_proj": made[0]}
    diff = tracetui.diff({**shared, f"{layer}.down_proj": made[1]}, reference)
    assert not diff.same
    assert not diff.report.hints
