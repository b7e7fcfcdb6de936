"""What architectures of llama.cpp are in transformers: the type, and the fields that not all of them have.

Where a file is silent, its model runs as llama.cpp runs it. https://github.com/ggml-org/llama.cpp/tree/master/src/models
"""

from __future__ import annotations

from collections.abc import Mapping

from tracetui.recipe.gguf.families import gemma, layer_norm, llama, mixtures, qwen, recurrent
from tracetui.recipe.gguf.families.common import Family

FAMILIES: Mapping[str, Family] = {
    "llama": llama.llama,
    "mistral3": llama.mistral3,
    "granite": llama.granite,
    "qwen2": qwen.qwen2,
    "qwen2moe": qwen.qwen2_moe,
    "qwen3": qwen.qwen3,
    "qwen3moe": qwen.qwen3_moe,
    "qwen3next": qwen.qwen3_next,
    "qwen35": qwen.qwen3_5,
    "qwen35moe": qwen.qwen3_5_moe,
    "gemma": gemma.gemma,
    "gemma2": gemma.gemma2,
    "gemma3": gemma.gemma3,
    "gemma3n": gemma.gemma3n,
    "gemma4": gemma.gemma4,
    "phi2": layer_norm.phi2,
    "phi3": llama.phi3,
    "deepseek2": mixtures.deepseek2,
    "glm4": llama.glm4,
    "glm4moe": mixtures.glm4_moe,
    "gpt-oss": mixtures.gpt_oss,
    "olmo": layer_norm.olmo,
    "olmo2": llama.olmo2,
    "olmoe": mixtures.olmoe,
    "smollm3": llama.smollm3,
    "granitemoe": mixtures.granite_moe,
    "granitehybrid": recurrent.granite_hybrid,
    "mamba": recurrent.mamba,
    "mamba2": recurrent.mamba2,
    "jamba": recurrent.jamba,
    "falcon-h1": recurrent.falcon_h1,
    "nemotron": layer_norm.nemotron,
    "nemotron_h": recurrent.nemotron_h,
    "nemotron_h_moe": recurrent.nemotron_h,
    "lfm2": recurrent.lfm2,
    "lfm2moe": recurrent.lfm2_moe,
    "seed_oss": llama.seed_oss,
    "ernie4_5": llama.ernie4_5,
    "ernie4_5-moe": mixtures.ernie4_5_moe,
    "exaone4": llama.exaone4,
    "hunyuan-dense": llama.hunyuan_dense,
    "hunyuan-moe": mixtures.hunyuan_moe,
    "arcee": llama.arcee,
    "command-r": layer_norm.command_r,
    "cohere2": layer_norm.cohere2,
    "starcoder2": layer_norm.starcoder2,
    "stablelm": layer_norm.stablelm,
    "gpt2": layer_norm.gpt2,
    "dots1": mixtures.dots1,
    "minimax-m2": mixtures.minimax_m2,
}
"""By `general.architecture`."""
WITHOUT_HEADS = ("mamba", "mamba2")
"""Architectures without attention."""
_OF_LAYERS = ("attention.head_count", "attention.head_count_kv", "feed_forward_length")
BY_LAYER: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("gemma3n", "gemma4", "jamba", "granitehybrid", "nemotron_h", "nemotron_h_moe", "lfm2", "lfm2moe"), _OF_LAYERS
)
"""Keys that differ from layer to layer in an architecture, whose function reads them of each."""
