"""A tiny configuration for every family of causal language models that transformers knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

VOCABULARY = 256
LAYERS = 4

_SIZES: Mapping[int, str] = {
    64: "hidden_size hidden_size_global d_model n_embd emb_dim dim embedding_size embedding_dim lru_width "
    "attention_hidden_size",
    96: "intermediate_size ffn_dim n_inner d_ff ffn_hidden_size decoder_ffn_dim encoder_ffn_dim dff "
    "intermediate_size_mlp feed_forward_size",
    32: "moe_intermediate_size shared_expert_intermediate_size shared_experts_intermediate_size "
    "expert_ffn_hidden_size router_hidden_size attention_head_dim",
    24: "q_lora_rank",
    16: "head_dim kv_lora_rank attention_head_size mamba_d_state mamba_d_head mamba_head_dim mamba_headdim "
    "ssm_state_size state_size linear_key_head_dim linear_value_head_dim linear_head_dim index_head_dim "
    "indexer_head_dim adapter_rank hidden_size_per_layer_input",
    8: "num_experts num_local_experts n_routed_experts moe_num_experts qk_rope_head_dim qk_nope_head_dim v_head_dim "
    "mamba_n_heads mamba_num_heads n_mamba_heads time_step_rank mamba_dt_rank rotary_dim",
    4: "num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers num_decoder_layers "
    "num_encoder_layers num_blocks "
    "num_attention_heads n_head n_heads num_heads decoder_attention_heads encoder_attention_heads "
    "num_decoder_attention_heads num_encoder_attention_heads linear_num_heads linear_num_value_heads sliding_window "
    "attention_window window_size index_topk index_n_heads local_attn_chunk_length",
    2: "num_key_value_heads n_head_kv num_kv_heads swa_num_key_value_heads num_global_key_value_heads "
    "num_experts_per_tok num_experts_per_token moe_topk moe_k moe_top_k top_k_experts linear_num_key_heads n_group "
    "num_expert_group",
    1: "topk_group mamba_n_groups n_groups mamba_ngroups first_k_dense_replace num_dense_layers",
    128: "max_position_embeddings n_positions n_ctx max_target_positions max_seq_len max_encoder_position_embeddings",
    VOCABULARY: "vocab_size vocab_size_per_layer_input",
}
_SIZE_OF = {name: size for size, names in _SIZES.items() for name in names.split()}
_SET_WHERE_EMPTY = frozenset({"num_key_value_heads", "n_head_kv", "num_kv_heads"})
"""Sizes that a family leaves to its defaults, and that only matter when they are fewer than the heads."""

_LATENT: dict[str, Any] = {"num_key_value_heads": 4, "head_dim": 8}
_GROUPED: dict[str, Any] = {"n_routed_experts": 8, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1}
_DECODER: dict[str, Any] = {"is_decoder": True}
_EVERY_OTHER = {"layer_types": ["sliding_attention", "full_attention"] * 2}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_SHARED_ATTENTION = {"attention_hidden_size": 128, "layers_block_type": ["linear_attention", "hybrid"] * 2}
_INDEXED: dict[str, Any] = {
    "indexer_n_heads": 4,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 16,
    "indexer_budget": 4,
    "indexer_compress_ratio": 2,
    "rope_parameters": _ROPE,
    "layer_types": ["linear_attention", "indexed_attention"] * 2,
}
_OWN: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(
        [
            "axk1",
            "axk2",
            "bailing_hybrid",
            "deepseek_v3",
            "deepseek_v32",
            "glm4_moe_lite",
            "glm_moe_dsa",
            "kimi_linear",
            "longcat_flash",
            "minicpm3",
            "youtu",
        ],
        _LATENT,
    ),
    **dict.fromkeys(
        [
            "bert",
            "bert-generation",
            "big_bird",
            "camembert",
            "data2vec-text",
            "electra",
            "ernie",
            "megatron-bert",
            "rembert",
            "roberta",
            "roberta-prelayernorm",
            "roc_bert",
            "roformer",
            "xlm-roberta",
            "xlm-roberta-xl",
        ],
        _DECODER,
    ),
    "bailing_hybrid": {**_LATENT, "layer_types": ["linear_attention", "full_attention"] * 2},
    "bamba": {"attn_layer_indices": [1, 3]},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    "blt": {"use_cache": False, "encoder_hash_byte_group_vocab": 500},
    "cpmant": {"prompt_types": 4, "prompt_length": 4, "segment_types": 4},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 96, "moe_num_experts": 8, "moe_top_k": 2},
    },
    "deepseek_v2": {**_LATENT, **_GROUPED},
    "dots3_note": {"vision_config": {"adapter_out_dim": 64}, "audio_config": {"adapter_out_dim": 64}},
    "dots3_note_text": {
        "num_key_value_heads": 4,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 4,
        "swa_head_dim": 16,
        "swa_q_lora_rank": 24,
        "swa_kv_lora_rank": 16,
        "swa_qk_nope_head_dim": 8,
        "swa_v_head_dim": 8,
    },
    "dots1": {**_GROUPED, "n_shared_experts": 1},
    "falcon_h1": {"mamba_d_ssm": 128},
    "gemma3n_text": {
        **_EVERY_OTHER,
        "num_kv_shared_layers": 2,
        "laurel_rank": 8,
        "activation_sparsity_pattern": [0.0] * LAYERS,
        "intermediate_size": [96] * LAYERS,
    },
    "gemma3_text": _EVERY_OTHER,
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "hrm_text": {"num_hidden_layers": 2},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16, "moe_topk": 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
    "kimi_linear": {**_LATENT, "layer_types": ["linear_attention", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8},
    "kolibri1": _EVERY_OTHER,
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "ministral": {**_EVERY_OTHER, "head_dim": 16},
    "qwen4_exp_text": _INDEXED,
    "reformer": {"is_decoder": True, "axial_pos_embds": False, "attn_layers": ["local"] * LAYERS},
    "rwkv": {"rescale_every": 0},
    "xlm": {"causal": True},
    "xlnet": {"attn_type": "uni"},
    "xlstm": {"qk_dim_factor": 1.0},
    "xmod": {"is_decoder": True, "default_language": "en_XX"},
    "zamba": _SHARED_ATTENTION,
    "zamba2": _SHARED_ATTENTION,
    "zaya": {"num_experts_per_tok": 1},
}
"""What a family needs beyond its sizes, for a model that is made at all and has each of its kinds of layers."""


NOT_MADE: Mapping[str, str] = {
    "gemma3n": "its vision tower needs the timm library",
    "gemma4_assistant": "drafts for another model, whose cache it reads",
    "gemma4_unified_assistant": "drafts for another model, whose cache it reads",
    "musicgen": "transformers makes no causal model of this configuration",
    "musicgen_melody": "transformers makes no causal model of this configuration",
}
"""Families of which no model can be made and called, and why."""


def families() -> tuple[str, ...]:
    """The model types of the families of which a model can be made, in order."""
    return tuple(name for name in sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) if name not in NOT_MADE)


def tiny_config(family: str) -> PreTrainedConfig:
    """A configuration of a family with four layers of width 64, over 256 tokens."""
    config_class = CONFIG_MAPPING[family]
    return config_class(**_tiny_fields(config_class()))


def _tiny_fields(config: PreTrainedConfig) -> dict[str, Any]:
    own = _OWN.get(config.model_type, {})
    return {**dict(_small_fields(config, own)), **own}


def _small_fields(config: PreTrainedConfig, own: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields of a configuration, and of those inside it, that have to change for it to be tiny."""
    for name, value in config.to_dict().items():
        if name in own:
            continue
        if name in _SIZE_OF and _is_size(name, value):
            yield name, _SIZE_OF[name]
        elif name.endswith("_token_id") and _is_outside(value):
            yield name, 2 if name.startswith("eos") else 1
        elif isinstance(part := getattr(config, name, None), PreTrainedConfig):
            yield name, type(part)(**_tiny_fields(part)).to_dict()


def _is_size(name: str, value: object) -> bool:
    return name in _SET_WHERE_EMPTY if value is None else isinstance(value, int) and not isinstance(value, bool)


def _is_outside(token: object) -> bool:
    """Whether a special token, or a list of them, has no place in the tiny vocabulary."""
    return isinstance(token, list) or (isinstance(token, int) and token >= VOCABULARY)
