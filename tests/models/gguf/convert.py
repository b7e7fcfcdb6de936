"""Tiny models of transformers written as GGUF by llama.cpp's conventions, with gguf's own writer and names."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import torch
from gguf import GGMLQuantizationType, GGUFWriter, RopeScalingType

from tests.models.gguf.changes import changed
from tests.models.gguf.family_keys import head_size, heads_of_keys, write_keys
from tests.models.hf_files import model_of

Tensors = Iterator[tuple[str, torch.Tensor]]
ARCHITECTURES = {
    "llama": "llama", "mistral": "llama", "mixtral": "llama", "granite": "granite", "qwen2": "qwen2",
    "qwen2_moe": "qwen2moe", "qwen3": "qwen3", "qwen3_moe": "qwen3moe", "gemma": "gemma", "gemma2": "gemma2",
    "gemma3_text": "gemma3", "phi3": "phi3", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "glm4": "glm4",
    "gpt_oss": "gpt-oss", "olmo2": "olmo2", "olmo3": "olmo2", "olmoe": "olmoe",
    "smollm3": "smollm3", "ministral3": "mistral3", "seed_oss": "seed_oss", "ernie4_5": "ernie4_5",
    "ernie4_5_moe": "ernie4_5-moe", "exaone4": "exaone4", "hunyuan_v1_dense": "hunyuan-dense",
    "hunyuan_v1_moe": "hunyuan-moe", "arcee": "arcee", "cohere": "command-r", "cohere2": "cohere2",
    "starcoder2": "starcoder2", "stablelm": "stablelm", "gpt2": "gpt2", "olmo": "olmo", "nemotron": "nemotron",
    "phi": "phi2", "glm4_moe": "glm4moe", "dots1": "dots1", "minimax_m2": "minimax-m2",
    "granitemoe": "granitemoe", "granitemoeshared": "granitemoe", "granitemoehybrid": "granitehybrid",
    "mamba": "mamba", "falcon_mamba": "mamba", "mamba2": "mamba2", "jamba": "jamba", "falcon_h1": "falcon-h1",
    "nemotron_h": "nemotron_h", "lfm2": "lfm2", "lfm2_moe": "lfm2moe", "qwen3_next": "qwen3next",
    "qwen3_5_text": "qwen35", "qwen3_5_moe_text": "qwen35moe", "gemma3n_text": "gemma3n", "gemma4_text": "gemma4",
}  # fmt: skip
"""By transformers' type."""
_PERMUTED = (
    *("llama", "mistral", "mixtral", "granite", "smollm3", "ministral3", "arcee", "olmo"),
    *("granitemoe", "granitemoeshared", "granitemoehybrid"),
)
_SLIDE = ("gemma2", "gemma3_text", "phi3", "gpt_oss", "olmo3", "gemma3n_text", "gemma4_text", "cohere2", "exaone4")
_NUMBERED = re.compile(r"(.*(?:altup_projections|altup_unembed_projections|layernorm))(?:\.norms)?\.\d+\.weight")
_PLUS_ONE = (
    *("gemma", "gemma2", "gemma3_text", "nemotron", "qwen3_next"),
    *("qwen3_5_text", "qwen3_5_moe_text"),
)


def exact_model(family: str, **changes: Any) -> Any:
    """A model whose weights are multiples of 2^-10, so that 1 more and 1 less is exact."""
    model = model_of(family, **changes)
    with torch.no_grad():
        for tensor in (*model.parameters(), *_stored_buffers(model)):
            tensor.copy_((tensor * 2**10).round() / 2**10)
    return model


def write_gguf(
    model: Any,
    path: Path,
    kind: GGMLQuantizationType = GGMLQuantizationType.F32,
    permute: bool = True,
    rewrite: Callable[[dict[str, torch.Tensor]], None] = lambda tensors: None,
    **options: Any,
) -> Path:
    """A model as a file, its matrices of a type of block.

    rewrite: changes the tensors by the file's names. options: of the writer, as for several files.
    """
    name_of = _architecture(model.config)
    writer = GGUFWriter(path, name_of, **options)
    writer.add_type("model")
    writer.add_tokenizer_model("none")
    _write_config(writer, model.config)
    architecture = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}[name_of]
    names = gguf.get_tensor_name_map(architecture, model.config.num_hidden_layers)
    tensors = {}
    for name, tensor in _changed(model, permute):
        full = name if name.startswith(("rope_", "blk.")) else names.get_name(name, (".weight", ".bias"))
        assert full is not None, name
        tensors[full] = tensor
    _add_unused_keys(tensors, model)
    rewrite(tensors)
    for full, tensor in tensors.items():
        of = (
            kind
            if tensor.dim() > 1 and tensor.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0
            else GGMLQuantizationType.F32
        )
        writer.add_tensor(full, gguf.quants.quantize(tensor.float().contiguous().numpy(), of), raw_dtype=of)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_unused_keys(tensors: dict[str, torch.Tensor], model: Any) -> None:
    """Layers that share others' keys have some of their own in published files, which nobody reads."""
    kinds = getattr(model.config, "layer_types", ())
    for layer, each in enumerate(getattr(model.base_model, "layers", ())):
        if getattr(getattr(each, "self_attn", None), "is_kv_shared_layer", False):
            for name in ("attn_k", "attn_v", "attn_k_norm"):
                tensors[f"blk.{layer}.{name}.weight"] = tensors[f"blk.{kinds.index(kinds[layer])}.{name}.weight"]


def _architecture(config: Any) -> str:
    has_experts = config.model_type == "nemotron_h" and "moe" in config.layers_block_type
    return "nemotron_h_moe" if has_experts else ARCHITECTURES[config.model_type]


def _stored_buffers(model: Any) -> Iterator[torch.Tensor]:
    return (buffer for name, buffer in model.named_buffers() if name in model.state_dict())


def _changed(model: Any, permute: bool) -> Tensors:
    """The tensors that are written, under names that gguf's tables translate."""
    config, family = model.config, model.config.model_type
    for name, tensor in _together(model.state_dict()).items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        for new, made in changed(name, tensor, config) or _one(name, tensor, model):
            if family in _PLUS_ONE and new.endswith("norm.weight") and not new.endswith("linear_attn.norm.weight"):
                made = made + 1
            if family in _PERMUTED and permute and (".q_proj." in new or ".k_proj." in new):
                made = _in_pairs(made, config.num_attention_heads if "q_proj" in new else config.num_key_value_heads)
            yield new, made
    yield from _rope_tensors(config)


def _together(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Matrices and norms that are numbered in transformers, as one tensor."""
    made: dict[str, torch.Tensor] = {}
    lists: dict[str, list[torch.Tensor]] = {}
    for name, tensor in state.items():
        if (found := _NUMBERED.fullmatch(name)) is None:
            made[name] = tensor
        else:
            lists.setdefault(f"{found[1]}.weight", []).append(tensor)
    return {**made, **{name: torch.stack(tensors) for name, tensors in lists.items()}}


def _one(name: str, tensor: torch.Tensor, model: Any) -> Tensors:
    config = model.config
    name = name.replace("e_score_correction_bias", "e_score_correction.bias")
    head, _, last = name.rpartition(".")
    if head.endswith("experts"):
        kind = ".bias" if last.endswith("_bias") else ".weight"
        matrix = tensor.mT if config.model_type == "gpt_oss" and kind == ".weight" else tensor
        layer = "blk." + head.split(".layers.")[1].partition(".")[0]
        if last.startswith(("down_proj", "up_proj")):
            yield f"{layer}.ffn_{last.partition('_')[0]}_exps{kind}", matrix
        elif config.model_type == "gpt_oss":
            yield f"{layer}.ffn_gate_exps{kind}", matrix[:, ::2]
            yield f"{layer}.ffn_up_exps{kind}", matrix[:, 1::2]
        else:
            gate, up = matrix.chunk(2, dim=1)
            yield f"{layer}.ffn_gate_exps{kind}", gate
            yield f"{layer}.ffn_up_exps{kind}", up
    elif name.endswith("kv_b_proj.weight"):
        both = tensor.view(config.num_attention_heads, -1, tensor.shape[-1])  # [H,K+Kv,R]
        keys, values = both[:, : config.qk_nope_head_dim], both[:, config.qk_nope_head_dim :]
        yield name.replace("kv_b", "k_b"), keys.mT
        yield name.replace("kv_b", "v_b"), values
    elif name.endswith("shared_expert_gate.weight"):
        yield name, tensor.view(-1)
    else:
        yield (f"{name}.weight" if last == "sinks" else name), tensor


def _in_pairs(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows in halves put in pairs, as LlamaModel.permute does it."""
    shape = (heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return tensor.reshape(shape).swapaxes(1, 2).reshape(tensor.shape)


def _write_config(writer: GGUFWriter, config: Any) -> None:
    if config.model_type in ("mamba", "falcon_mamba", "mamba2"):
        _write_without_heads(writer, config)
        return
    rope = getattr(config, "rope_parameters", None) or {"rope_type": "default", "rope_theta": 1e4}
    full = rope.get("full_attention", rope)
    heads = config.num_attention_heads
    size = head_size(config)
    is_latent = config.model_type.startswith("deepseek")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(_widths(config))
    writer.add_head_count(heads)
    writer.add_head_count_kv(1 if is_latent else heads_of_keys(config))
    writer.add_layer_norm_rms_eps(_eps(config))
    writer.add_rope_freq_base(full["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    for name in ("bos", "eos", "pad"):
        if (token := getattr(config, f"{name}_token_id")) is not None:
            getattr(writer, f"add_{name}_token_id")(token)
    if is_latent:
        _write_latent(writer, config)
    else:
        writer.add_key_length(size)
        writer.add_value_length(size)
        part = 1.0 if full["rope_type"] == "proportional" else full.get("partial_rotary_factor", 1.0)
        writer.add_rope_dimension_count(int(size * part))
    _write_rope(writer, config, full)
    _write_family(writer, config)
    write_keys(writer, config)
    _write_experts(writer, config)


def _eps(config: Any) -> float:
    names = ("rms_norm_eps", "layer_norm_epsilon", "norm_eps")
    return next((getattr(config, name) for name in names if hasattr(config, name)), 1e-5)


def _widths(config: Any) -> int | list[int]:
    """Of feed-forwards: one number, or that of each layer."""
    width: int = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    if config.model_type == "nemotron_h":
        moe = config.moe_intermediate_size
        return [{"mlp": width, "moe": moe}.get(kind, 0) for kind in config.layers_block_type]
    if config.model_type == "gemma4_text" and config.use_double_wide_mlp:
        own = config.num_hidden_layers - config.num_kv_shared_layers
        return [width if layer < own else 2 * width for layer in range(config.num_hidden_layers)]
    return width


def _write_without_heads(writer: GGUFWriter, config: Any) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(2**20)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
    writer.add_vocab_size(config.vocab_size)
    write_keys(writer, config)


def _write_latent(writer: GGUFWriter, config: Any) -> None:
    writer.add_rope_dimension_count(config.qk_rope_head_dim)
    writer.add_kv_lora_rank(config.kv_lora_rank)
    if config.q_lora_rank is not None:
        writer.add_q_lora_rank(config.q_lora_rank)
    writer.add_key_length(config.kv_lora_rank + config.qk_rope_head_dim)
    writer.add_value_length(config.kv_lora_rank)
    writer.add_key_length_mla(config.qk_nope_head_dim + config.qk_rope_head_dim)
    writer.add_value_length_mla(config.v_head_dim)
    writer.add_leading_dense_block_count(config.first_k_dense_replace)
    writer.add_expert_shared_count(config.n_shared_experts)
    writer.add_expert_weights_scale(config.routed_scaling_factor)
    writer.add_expert_group_count(config.n_group or 1)
    writer.add_expert_group_used_count(config.topk_group or 1)
    if config.model_type == "deepseek_v3":
        writer.add_expert_weights_norm(config.norm_topk_prob)
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)


def _write_rope(writer: GGUFWriter, config: Any, rope: dict[str, Any]) -> None:
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if (scale := rope.get("mscale_all_dim")) is not None:
            writer.add_rope_scaling_yarn_log_mul(0.1 * scale)
        for name in ("beta_fast", "beta_slow"):
            if name in rope:
                getattr(writer, f"add_rope_scaling_yarn_{name}")(rope[name])
    elif rope["rope_type"] == "longrope":
        original = rope["original_max_position_embeddings"]
        scale = config.max_position_embeddings / original
        writer.add_rope_scaling_type(RopeScalingType.LONGROPE)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)))
    if config.model_type == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)


def _write_family(writer: GGUFWriter, config: Any) -> None:
    slides = config.model_type in _SLIDE
    for field, add in (
        ("sliding_window", writer.add_sliding_window),
        ("attn_logit_softcapping", writer.add_attn_logit_softcapping),
        ("final_logit_softcapping", writer.add_final_logit_softcapping),
        ("attention_multiplier", writer.add_attention_scale),
        ("embedding_multiplier", writer.add_embedding_scale),
        ("residual_multiplier", writer.add_residual_scale),
        ("logits_scaling", writer.add_logit_scale),
    ):
        if config.model_type == "falcon_h1":
            break  # what it multiplies by is in its weights
        if (value := getattr(config, field, None)) is not None and (field != "sliding_window" or slides):
            add(value)
    if config.model_type.startswith(("gemma3", "gemma4")):
        writer.add_rope_freq_base_swa(config.rope_parameters["sliding_attention"]["rope_theta"])
    if config.model_type in ("olmo3", "exaone4"):
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])


def _write_experts(writer: GGUFWriter, config: Any) -> None:
    if config.model_type == "gpt2":
        return
    names = ("num_local_experts", "n_routed_experts", "num_experts")
    count = next((value for name in names if (value := getattr(config, name, None))), None)
    without = config.model_type == "nemotron_h" and "moe" not in config.layers_block_type
    if count is None or without or config.model_type in ("ernie4_5_moe", "hunyuan_v1_moe"):
        return
    writer.add_expert_count(count)
    writer.add_expert_used_count(getattr(config, "num_experts_per_tok", None) or config.top_k_experts)
    if (width := getattr(config, "moe_intermediate_size", None)) is not None:
        writer.add_expert_feed_forward_length(width)
    if (shared := getattr(config, "shared_expert_intermediate_size", None)) is not None:
        writer.add_expert_shared_feed_forward_length(shared)
    if config.model_type == "gpt_oss":
        writer.add_expert_feed_forward_length(config.intermediate_size)


def _rope_tensors(config: Any) -> Tensors:
    rope = getattr(config, "rope_parameters", None) or {}
    full = rope.get("full_attention") or {}
    if full.get("rope_type") == "proportional":
        half = head_size(config) // 2
        turned = int(half * full["partial_rotary_factor"])
        yield "rope_freqs.weight", torch.tensor([1.0] * turned + [1e30] * (half - turned))
    if rope.get("rope_type") == "longrope":
        yield "rope_factors_long.weight", torch.tensor(rope["long_factor"])
        yield "rope_factors_short.weight", torch.tensor(rope["short_factor"])
    if rope.get("rope_type") != "llama3":
        return
    size = head_size(config)
    factors = []
    for place in range(0, size, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (place / size)
        low, high, length = (
            rope[name] for name in ("low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        )
        if wavelength < length / high:
            factors.append(1.0)
        elif wavelength > length / low:
            factors.append(rope["factor"])
        else:
            smooth = (length / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    yield "rope_freqs.weight", torch.tensor(factors)
