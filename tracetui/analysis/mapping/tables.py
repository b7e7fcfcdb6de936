"""Names of modules within a decoder layer and around the layers, each beside transformers' own.

Sources: the parameters of Meta's reference Llama, those of DeepSeek's reference inference code, the tensor names of
llama.cpp's gguf-py, and the hook points of TransformerLens. https://github.com/ggml-org/llama.cpp
"""

from __future__ import annotations

EXPERT_PARTS = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}


def numbered_parts(theirs: str, ours: str) -> dict[str, str]:
    """The three matrices of a gated feed-forward block, which Meta and DeepSeek number."""
    return {f"{theirs}.{part}": f"{ours}.{matrix}" for part, matrix in EXPERT_PARTS.items()}


META_INSIDE = {
    "attention_norm": "input_layernorm",
    "attention": "self_attn",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wqkv": "self_attn.qkv_proj",
    "attention.wo": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "feed_forward": "mlp",
    **numbered_parts("feed_forward", "mlp"),
    "feed_forward.gate": "mlp.gate",
    "feed_forward.router": "mlp.router",
    "feed_forward.shared_expert": "mlp.shared_expert",
}
META_OUTSIDE = {"tok_embeddings": "model.embed_tokens", "norm": "model.norm", "output": "lm_head"}

DEEPSEEK_INSIDE = {
    "attn_norm": "input_layernorm",
    "attn": "self_attn",
    "attn.wq": "self_attn.q_proj",
    "attn.wq_a": "self_attn.q_a_proj",
    "attn.q_norm": "self_attn.q_a_layernorm",
    "attn.wq_b": "self_attn.q_b_proj",
    "attn.wkv_a": "self_attn.kv_a_proj_with_mqa",
    "attn.kv_norm": "self_attn.kv_a_layernorm",
    "attn.wkv_b": "self_attn.kv_b_proj",
    "attn.wo": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn": "mlp",
    **numbered_parts("ffn", "mlp"),
    "ffn.gate": "mlp.gate",
    "ffn.shared_experts": "mlp.shared_experts",
    **numbered_parts("ffn.shared_experts", "mlp.shared_experts"),
}
DEEPSEEK_OUTSIDE = {"embed": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}

GGUF_INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_q_a": "self_attn.q_a_proj",
    "attn_q_a_norm": "self_attn.q_a_layernorm",
    "attn_q_b": "self_attn.q_b_proj",
    "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa",
    "attn_kv_a_norm": "self_attn.kv_a_layernorm",
    "attn_kv_b": "self_attn.kv_b_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_shexp": "mlp.shared_experts.gate_proj",
    "ffn_up_shexp": "mlp.shared_experts.up_proj",
    "ffn_down_shexp": "mlp.shared_experts.down_proj",
}
GGUF_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}

LENS_INSIDE = {
    "hook_resid_pre": ":input",
    "hook_resid_mid": ":attn_residual",
    "hook_resid_post": "",
    "ln1.hook_normalized": ".input_layernorm",
    "ln2.hook_normalized": ".post_attention_layernorm",
    "attn.hook_q": ".self_attn.q_proj",
    "attn.hook_k": ".self_attn.k_proj",
    "attn.hook_v": ".self_attn.v_proj",
    "attn.hook_rot_q": ".self_attn:q",
    "attn.hook_rot_k": ".self_attn:k",
    "attn.hook_z": ".self_attn:heads",
    "attn.hook_pattern": ".self_attn:probs",
    "hook_attn_out": ".self_attn",
    "mlp.hook_pre": ".mlp.gate_proj",
    "mlp.hook_pre_linear": ".mlp.up_proj",
    "mlp.hook_post": ".mlp.down_proj:input",
    "hook_mlp_out": ".mlp",
}
"""TransformerLens' hook points, below `blocks.0.`."""
LENS_OUTSIDE = {"hook_embed": "model.embed_tokens", "ln_final.hook_normalized": "model.norm"}

OLD_INSIDE = {"block_sparse_moe": "mlp", "block_sparse_moe.gate": "mlp.gate"}
"""transformers' own before its version 5."""
EXPERT_BLOCKS = {"feed_forward": "mlp", "ffn": "mlp", "block_sparse_moe": "mlp", "mlp": "mlp"}

ORDER = (
    *(":input", ".input_layernorm", ".self_attn.q_proj", ".self_attn.q_a_proj", ".self_attn.q_a_layernorm"),
    *(".self_attn.q_b_proj", ".self_attn.q_norm", ".self_attn.k_proj", ".self_attn.k_norm", ".self_attn.v_proj"),
    *(".self_attn.qkv_proj", ".self_attn.kv_a_proj_with_mqa", ".self_attn.kv_a_layernorm", ".self_attn.kv_b_proj"),
    *(".self_attn:q", ".self_attn:k", ".self_attn:v", ".self_attn:scores", ".self_attn:masked", ".self_attn:probs"),
    *(".self_attn:heads", ".self_attn.o_proj", ".self_attn", ".post_self_attn_layernorm", ":attn_residual"),
    *(".post_attention_layernorm", ".pre_feedforward_layernorm"),
    *(".mlp.gate", ".mlp:router_logits", ".mlp:router_scores", ".mlp:selection_scores", ".mlp:experts"),
    *(".mlp:routing_weights", ".mlp.experts", ".mlp.gate_proj", ".mlp.act_fn", ".mlp.up_proj", ".mlp.down_proj"),
    *(".mlp.shared_experts.gate_proj", ".mlp.shared_experts.up_proj", ".mlp.shared_experts.down_proj"),
    *(".mlp.shared_experts", ".mlp.shared_expert.gate_proj", ".mlp.shared_expert.act_fn", ".mlp.shared_expert.up_proj"),
    *(".mlp.shared_expert.down_proj", ".mlp.shared_expert", ".mlp.shared_expert_gate"),
    *(".mlp", ".post_mlp_layernorm", ".post_feedforward_layernorm", ""),
)
"""The places of a layer in the order of execution: what a file that doesn't keep it is put into."""
