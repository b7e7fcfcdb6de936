"""Tiny transformers models, each run once as it is and once with one fault planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.llama import modeling_llama

from tracetui.recording.trace import Trace
from tracetui.tracer.call import record_call

Model = Any
Plant = Callable[[Model, pytest.MonkeyPatch], None]
TOKENS = 12
SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
    "attn_implementation": "eager",
}


def llama() -> Model:
    return _seeded(LlamaForCausalLM, LlamaConfig(**SIZES))


def qwen2() -> Model:
    fields = {name: value for name, value in SIZES.items() if name != "head_dim"}
    return _seeded(Qwen2ForCausalLM, Qwen2Config(**fields))


def mixtral() -> Model:
    return _seeded(MixtralForCausalLM, MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2))


def deepseek() -> Model:
    fields = {**SIZES, "num_key_value_heads": 4}
    del fields["head_dim"]
    config = DeepseekV3Config(
        **fields,
        n_routed_experts=8,
        n_group=2,
        topk_group=1,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
        first_k_dense_replace=1,
    )
    return _seeded(DeepseekV3ForCausalLM, config)


def _seeded(model_class: Any, config: Any) -> Model:
    torch.manual_seed(3)
    model = model_class(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def traced(model: Model, plant: Plant | None = None, **inputs: Any) -> Trace:
    """The trace of one prompt, all of its tokens different, with the fault if one is given."""
    ids = torch.randperm(60, generator=torch.Generator().manual_seed(7))[:TOKENS] + 1
    with pytest.MonkeyPatch.context() as patch:
        if plant is not None:
            plant(model, patch)
        return record_call(model, input_ids=ids[None], use_cache=False, **inputs)


@contextmanager
def _edited(weight: torch.Tensor) -> Iterator[torch.Tensor]:
    with torch.no_grad():
        yield weight


def _attention(model: Model) -> Any:
    return model.model.layers[1].self_attn


def nothing(model: Model, patch: pytest.MonkeyPatch) -> None:
    """No fault at all."""


def unrelated(model: Model, patch: pytest.MonkeyPatch) -> None:
    """Another weight altogether."""
    with _edited(model.model.layers[1].mlp.up_proj.weight) as weight:
        nn.init.normal_(weight, std=0.3)


def unrelated_attention(model: Model, patch: pytest.MonkeyPatch) -> None:
    with _edited(_attention(model).o_proj.weight) as weight:
        weight += 0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))


def one_column(model: Model, patch: pytest.MonkeyPatch) -> None:
    """One output feature is broken."""
    with _edited(_attention(model).q_proj.weight) as weight:
        weight[5] = 0


def unrelated_norm(model: Model, patch: pytest.MonkeyPatch) -> None:
    """A norm that forgets to divide."""
    norm = model.model.layers[1].input_layernorm
    patch.setattr(norm, "forward", lambda hidden: norm.weight * (hidden.abs() ** 0.9) * hidden.sign())


def rounding(model: Model, patch: pytest.MonkeyPatch) -> None:
    """Weights that were stored in bf16 once."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16).float())


def rope_rows(model: Model, patch: pytest.MonkeyPatch) -> None:
    """Meta's rows of q and k in Hugging Face's code."""
    for layer in model.model.layers:
        for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            with _edited(projection.weight) as weight:
                width = weight.shape[0]
                heads = weight.view(width // 8, 2, 4, -1).transpose(1, 2).reshape(weight.shape)
                weight.copy_(heads)


def rope_pairs(model: Model, patch: pytest.MonkeyPatch) -> None:
    """Neighbours are turned instead of halves."""

    def turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        cos, sin = cos[..., :half].unsqueeze(1), sin[..., :half].unsqueeze(1)
        even, odd = x[..., ::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)

    def apply(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, **_: Any) -> Any:
        return turned(q, cos, sin), turned(k, cos, sin)

    patch.setattr(modeling_llama, "apply_rotary_pos_emb", apply)


def not_interleaved(model: Model, patch: pytest.MonkeyPatch) -> None:
    """DeepSeek's rotary part turned in halves."""
    patch.setattr(model.config, "rope_interleave", False)


def tiled_heads(model: Model, patch: pytest.MonkeyPatch) -> None:
    """Key-value heads are repeated as a whole rather than each in turn."""
    patch.setattr(modeling_llama, "repeat_kv", lambda states, times: states.repeat(1, times, 1, 1))


def no_scale(model: Model, patch: pytest.MonkeyPatch) -> None:
    for layer in model.model.layers:
        patch.setattr(layer.self_attn, "scaling", 1.0)


def _masked_anew(patch: pytest.MonkeyPatch, shift: int) -> None:
    eager = modeling_llama.eager_attention_forward

    def shifted(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **rest: Any) -> Any:
        hidden = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1 + shift)
        mask = torch.zeros(1, 1, TOKENS, TOKENS).masked_fill(hidden, torch.finfo(torch.float32).min)
        return eager(module, query, key, value, mask, **rest)

    patch.setattr(modeling_llama, "eager_attention_forward", shifted)


def mask_ahead(model: Model, patch: pytest.MonkeyPatch) -> None:
    """The kernel shows each query one key too many."""
    _masked_anew(patch, 1)


def mask_behind(model: Model, patch: pytest.MonkeyPatch) -> None:
    _masked_anew(patch, -1)


def no_mask(model: Model, patch: pytest.MonkeyPatch) -> None:
    _masked_anew(patch, TOKENS)


def epsilon(model: Model, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model.model.layers[1].input_layernorm, "variance_epsilon", 1e-2)


def norm_scaled(model: Model, patch: pytest.MonkeyPatch) -> None:
    with _edited(model.model.layers[1].input_layernorm.weight) as weight:
        weight *= 1.5


def up_scaled(model: Model, patch: pytest.MonkeyPatch) -> None:
    """A scale that was taken into the weight."""
    with _edited(model.model.layers[1].mlp.up_proj.weight) as weight:
        weight *= 1.25


def norm_one_plus(model: Model, patch: pytest.MonkeyPatch) -> None:
    with _edited(model.model.layers[1].post_attention_layernorm.weight) as weight:
        weight += 1


def transposed(model: Model, patch: pytest.MonkeyPatch) -> None:
    with _edited(_attention(model).o_proj.weight) as weight:
        weight.copy_(weight.t().clone())


def transposed_q(model: Model, patch: pytest.MonkeyPatch) -> None:
    with _edited(_attention(model).q_proj.weight) as weight:
        weight.copy_(weight.t().clone())


def permuted(model: Model, patch: pytest.MonkeyPatch) -> None:
    with _edited(model.model.layers[1].mlp.gate_proj.weight) as weight:
        weight.copy_(weight[torch.randperm(48, generator=torch.Generator().manual_seed(2))])


def no_bias(model: Model, patch: pytest.MonkeyPatch) -> None:
    with _edited(_attention(model).k_proj.bias) as bias:
        bias.zero_()


def untied(model: Model, patch: pytest.MonkeyPatch) -> None:
    """The head is the embedding matrix, although it should have its own."""
    patch.setattr(model.lm_head, "weight", model.model.embed_tokens.weight)


def not_normalised(model: Model, patch: pytest.MonkeyPatch) -> None:
    """The weights of the chosen experts as softmax gave them."""
    gate = model.model.layers[1].mlp.gate

    def forward(hidden: torch.Tensor, *rest: Any) -> Any:
        logits = nn.functional.linear(hidden.reshape(-1, 32), gate.weight)
        weights, chosen = logits.float().softmax(-1).topk(2, dim=-1)
        return logits, weights, chosen

    patch.setattr(gate, "forward", forward)


def not_scaled(model: Model, patch: pytest.MonkeyPatch) -> None:
    """DeepSeek's routed_scaling_factor left out."""
    owner = model.model.layers[1].mlp
    for module in (owner, owner.gate):
        if hasattr(module, "routed_scaling_factor"):
            patch.setattr(module, "routed_scaling_factor", 1.0)


def _exchanged(one: torch.Tensor, other: torch.Tensor) -> None:
    with torch.no_grad():
        kept = one.clone()
        one.copy_(other)
        other.copy_(kept)


def gate_for_up(model: Model, patch: pytest.MonkeyPatch) -> None:
    mlp = model.model.layers[1].mlp
    _exchanged(mlp.gate_proj.weight, mlp.up_proj.weight)


def keys_for_values(model: Model, patch: pytest.MonkeyPatch) -> None:
    _exchanged(_attention(model).k_proj.weight, _attention(model).v_proj.weight)


def _roped(model: Model, patch: pytest.MonkeyPatch, **parameters: Any) -> None:
    """transformers' own tables for other parameters."""
    config = LlamaConfig(**SIZES, rope_parameters={"rope_theta": 10_000.0, **parameters})
    other = LlamaForCausalLM(config).model.rotary_emb
    patch.setattr(model.model.rotary_emb, "inv_freq", other.inv_freq)
    patch.setattr(model.model.rotary_emb, "attention_scaling", other.attention_scaling)


def rope_base(model: Model, patch: pytest.MonkeyPatch) -> None:
    _roped(model, patch, rope_type="default", rope_theta=500_000.0)


def rope_linear(model: Model, patch: pytest.MonkeyPatch) -> None:
    _roped(model, patch, rope_type="linear", factor=4.0)


def rope_llama3(model: Model, patch: pytest.MonkeyPatch) -> None:
    more = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    _roped(model, patch, rope_type="llama3", factor=8.0, **more)


def rope_yarn(model: Model, patch: pytest.MonkeyPatch) -> None:
    _roped(model, patch, rope_type="yarn", factor=8.0, original_max_position_embeddings=64)


def no_rope(model: Model, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(modeling_llama, "apply_rotary_pos_emb", lambda q, k, cos, sin, **_: (q, k))
