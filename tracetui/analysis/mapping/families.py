"""What transformers' older families call their modules, in the terms of its newer ones.

Sources: the module trees of GPT-2, GPT-J, GPT-Neo, GPT-NeoX, Falcon, BLOOM, MPT, OPT, Phi and StarCoder2 in
transformers 5.23.
"""

from __future__ import annotations

import re

_LAYER = re.compile(r"^.*?(?:^|\.)(?:layers|h|blocks)\.(\d{1,6})(?=[.:@#]|$)")
_END = re.compile(r"[:@#]")
_BLOCKS = {
    "attn.attention": "self_attn",
    "attention": "self_attn",
    "self_attention": "self_attn",
    "attn": "self_attn",
    "ffn": "mlp",
}
_ATTENTION = {
    "query_key_value": "qkv_proj",
    "c_attn": "qkv_proj",
    "Wqkv": "qkv_proj",
    "dense": "o_proj",
    "c_proj": "o_proj",
    "out_proj": "o_proj",
}
_FEED_FORWARD = {
    **dict.fromkeys(("dense_h_to_4h", "c_fc", "fc_in", "fc1"), "up_proj"),
    **dict.fromkeys(("dense_4h_to_h", "c_proj", "fc_out", "fc2"), "down_proj"),
    **dict.fromkeys(("act", "activation", "gelu_impl"), "act_fn"),
}
_ALONE = {
    **dict.fromkeys(("ln_1", "norm_1", "ln1", "ln_attn", "self_attn_layer_norm"), "input_layernorm"),
    **dict.fromkeys(("ln_2", "norm_2", "ln2", "ln_mlp", "final_layer_norm"), "post_attention_layernorm"),
    "fc1": "mlp.up_proj",
    "fc2": "mlp.down_proj",
    "activation_fn": "mlp.act_fn",
}
_OUTSIDE = {
    **dict.fromkeys(("embed_tokens", "embed_in", "wte", "word_embeddings"), "model.embed_tokens"),
    **dict.fromkeys(("final_layer_norm", "final_layernorm", "ln_f", "norm_f"), "model.norm"),
    "embed_out": "lm_head",
}


def common_name(site: str) -> str:
    """A site in the terms of transformers' newer families, by its module's path alone; itself where none is known.

    Raises nothing: whether two such sites hold the same is for values to say.
    """
    found = _LAYER.match(site)
    path, end = _parted(site[found.end() :] if found else site)
    if found is None:
        return _OUTSIDE.get(path.rpartition(".")[2], path) + end if path.count(".") < 3 else site
    inside = _inside(path.removeprefix("."))
    return f"model.layers.{int(found[1])}{'.' if inside else ''}{inside}{end}"


def _parted(site: str) -> tuple[str, str]:
    """A path, and the role, part, pass and call behind it."""
    mark = _END.search(site)
    return (site[: mark.start()], site[mark.start() :]) if mark else (site, "")


def _inside(path: str) -> str:
    if path in _ALONE:
        return _ALONE[path]
    block = next((name for name in _BLOCKS if path == name or path.startswith(f"{name}.")), "")
    path = _BLOCKS[block] + path.removeprefix(block) if block else path
    head, _, leaf = path.partition(".")
    table = {"self_attn": _ATTENTION, "mlp": _FEED_FORWARD}.get(head, {})
    return f"{head}.{table.get(leaf, leaf)}" if leaf else head
