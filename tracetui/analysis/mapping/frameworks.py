"""What frameworks that train and serve models call their modules, each beside transformers' own.

Sources: the module trees of Megatron Core (its layer specs with and without Transformer Engine), torchtune, LitGPT and
vLLM, and the names that OLMo-core's conversion gives its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tracetui.analysis.mapping.tables import numbered_parts


@dataclass(frozen=True, slots=True)
class Framework:
    """One framework's paths."""

    name: str
    """As `Meaning.naming` has it."""
    layer: re.Pattern[str]
    """Up to the number of a layer, and what stands below it."""
    inside: Mapping[str, str]
    """By path below a layer, transformers' site below its own."""
    outside: Mapping[str, str]
    marks: tuple[str, ...]
    """Paths in a layer that only this framework has; beside one of them, paths in `shared` are its own too."""
    shared: Mapping[str, str] = field(default_factory=dict)
    """Paths that other frameworks use too: they are this framework's where its first layer has one of the marks."""
    stem: str = ""
    """The path in front of that layer's number."""

    def site(self, path: str, part: str, others: Collection[str]) -> str | None:
        """The site that a path means; None where it isn't this framework's, as far as the names beside it tell.

        `part` is `#1` for the second tensor of a tuple.
        """
        found = self.layer.match(path)
        if found is None:
            used = path in self.shared and self._is_marked(f"{self.stem}.0", others)
            meant = self.shared[path] if used else self.outside.get(path)
            return None if meant is None else meant + part
        inside = found["inside"] or ""
        meant = self.inside.get(inside + part)
        end = "" if meant is not None else part
        meant = self.inside.get(inside) if meant is None else meant
        if meant is None or (inside not in self.marks and not self._is_marked(path[: found.end("number")], others)):
            return None
        return f"model.layers.{int(found['number'])}{meant}{end}"

    def _is_marked(self, layer: str, others: Collection[str]) -> bool:
        return any(f"{layer}.{mark}" in others for mark in self.marks)


_MEGATRON = {
    "": "",
    "input_layernorm": ".input_layernorm",
    "self_attention": ".self_attn",
    "self_attention.linear_qkv": ".self_attn.qkv_proj",
    "self_attention.linear_q_proj": ".self_attn.q_proj",
    "self_attention.linear_q_down_proj": ".self_attn.q_a_proj",
    "self_attention.linear_q_up_proj": ".self_attn.q_b_proj",
    "self_attention.linear_kv_down_proj": ".self_attn.kv_a_proj_with_mqa",
    "self_attention.linear_kv_up_proj": ".self_attn.kv_b_proj",
    "self_attention.kv_layernorm": ".self_attn.kv_a_layernorm",
    "self_attention.q_layernorm": ".self_attn.q_norm",
    "self_attention.k_layernorm": ".self_attn.k_norm",
    "self_attention.core_attention": ".self_attn:heads",
    "self_attention.linear_proj": ".self_attn.o_proj",
    "pre_mlp_layernorm": ".post_attention_layernorm",
    "mlp": ".mlp",
    "mlp.linear_fc1": ".mlp.gate_up_proj",
    "mlp.linear_fc2": ".mlp.down_proj",
    "mlp.router": ".mlp.gate",
    "mlp.experts": ".mlp.experts",
    "mlp.shared_experts": ".mlp.shared_experts",
}
_TORCHTUNE = {
    "": "",
    "sa_norm": ".input_layernorm",
    "attn": ".self_attn",
    **{f"attn.{name}_proj": f".self_attn.{name}_proj" for name in "qkv"},
    "attn.q_norm": ".self_attn.q_norm",
    "attn.k_norm": ".self_attn.k_norm",
    "attn.output_proj": ".self_attn.o_proj",
    "mlp_norm": ".post_attention_layernorm",
    "mlp": ".mlp",
    **numbered_parts("mlp", ".mlp"),
}
_LITGPT = {
    "": "",
    "norm_1": ".input_layernorm",
    "attn": ".self_attn",
    "attn.qkv": ".self_attn.qkv_proj",
    "attn.norm_q": ".self_attn.q_norm",
    "attn.norm_k": ".self_attn.k_norm",
    "attn.proj": ".self_attn.o_proj",
    "norm_2": ".post_attention_layernorm",
    "mlp": ".mlp",
    "mlp.fc": ".mlp.up_proj",
    "mlp.fc_1": ".mlp.gate_proj",
    "mlp.fc_2": ".mlp.up_proj",
    "mlp.proj": ".mlp.down_proj",
}
_OLMO_CORE = {
    "": "",
    "attention_norm": ".input_layernorm",
    "attention": ".self_attn",
    **{f"attention.w_{name}": f".self_attn.{name}_proj" for name in "qkv"},
    "attention.w_qkv": ".self_attn.qkv_proj",
    "attention.q_norm": ".self_attn.q_norm",
    "attention.k_norm": ".self_attn.k_norm",
    "attention.w_out": ".self_attn.o_proj",
    "post_attention_norm": ".post_attention_layernorm",
    "feed_forward_norm": ".post_attention_layernorm",
    "feed_forward": ".mlp",
    **numbered_parts("feed_forward", ".mlp"),
    "post_feed_forward_norm": ".post_feedforward_layernorm",
    "feed_forward_moe": ".mlp",
    "feed_forward_moe.router": ".mlp.gate",
}
"""Which of its sublayers a norm stands before or behind depends on the model."""
_VLLM = {
    "self_attn.attn": ".self_attn:heads",
    "self_attn.rotary_emb": ".self_attn:q",
    "self_attn.rotary_emb#1": ".self_attn:k",
    "input_layernorm#1": ":input",
    "post_attention_layernorm#1": ":attn_residual",
    "pre_feedforward_layernorm#1": ":attn_residual",
    "#1": ":attn_residual",
}
"""It adds the stream to what a sublayer made in the norm after it, which returns both."""


def _below(stem: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:{stem})\.(?P<number>\d{{1,6}})(?:\.(?P<inside>[^:]+))?$")


FRAMEWORKS = (
    Framework(
        "megatron",
        _below(r"(?:language_model\.)?decoder\.layers"),
        _MEGATRON,
        {
            "embedding.word_embeddings": "model.embed_tokens",
            "decoder.final_layernorm": "model.norm",
            "output_layer": "lm_head",
        },
        ("self_attention.linear_qkv", "self_attention.linear_proj", "mlp.linear_fc1", "mlp.linear_fc2"),
    ),
    Framework(
        "torchtune",
        _below(r"(?:decoder\.)?layers"),
        _TORCHTUNE,
        {"decoder.tok_embeddings": "model.embed_tokens", "decoder.norm": "model.norm", "decoder.output": "lm_head"},
        ("sa_norm", "mlp_norm", "attn.output_proj"),
    ),
    Framework(
        "litgpt",
        _below(r"transformer\.h"),
        _LITGPT,
        {},
        ("attn.qkv", "norm_1", "mlp.fc_1"),
        {"transformer.wte": "model.embed_tokens", "transformer.ln_f": "model.norm"},
        "transformer.h",
    ),
    Framework(
        "olmo_core",
        _below(r"blocks"),
        _OLMO_CORE,
        {"lm_head.norm": "model.norm", "lm_head.w_out": "lm_head"},
        ("attention.w_q", "attention.w_qkv", "attention.w_out"),
        {"embeddings": "model.embed_tokens"},
        "blocks",
    ),
    Framework(
        "vllm",
        _below(r"model\.layers"),
        _VLLM,
        {"logits_processor": "logits"},
        ("self_attn.attn",),
    ),
)
FRAMEWORK_NAMES = frozenset(framework.name for framework in FRAMEWORKS)


def framework_site(path: str, part: str, others: Collection[str]) -> tuple[str, str] | None:
    """The site that a path means, and whose path it is; None where no framework's is known."""
    for framework in FRAMEWORKS:
        if (site := framework.site(path, part, others)) is not None:
            return site, framework.name
    return None
