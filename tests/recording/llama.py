"""The records of a two-layer llama, in order of completion, as a watched pass makes them."""

from __future__ import annotations

from collections.abc import Iterator

from tracetui.recording.record import Record

_LAYER = """
    3 {}:input
    3 {}.input_layernorm
    4 {}.self_attn.q_proj
    4 {}.self_attn.k_proj
    4 {}.self_attn.v_proj
    4 {}.self_attn:q
    4 {}.self_attn:k
    4 {}.self_attn:v
    4 {}.self_attn.o_proj
    3 {}.self_attn
    3 {}:attn_residual
    3 {}.post_attention_layernorm
    4 {}.mlp.gate_proj
    4 {}.mlp.act_fn
    4 {}.mlp.up_proj
    4 {}.mlp.down_proj
    3 {}.mlp
    2 {}
"""
_PASS = f"""
    2 model.embed_tokens
    2 model.rotary_emb
    2 model.rotary_emb#1
    {_LAYER.replace("{}", "model.layers.0")}
    {_LAYER.replace("{}", "model.layers.1")}
    2 model.norm
    1 model
    1 lm_head
    0 logits
"""


def _lines(passes: int) -> Iterator[tuple[int, int, str]]:
    for pass_ in range(passes):
        for line in _PASS.split("\n"):
            if line.strip():
                depth, site = line.split()
                yield pass_, int(depth), site


def llama(passes: int = 1) -> list[Record]:
    """Depth 0 is the model's output, 1 what the outermost module calls, and so on."""
    records = []
    for index, (pass_, depth, name) in enumerate(_lines(passes)):
        site, _, part = name.partition("#")
        module, _, role = site.partition(":")
        parent = module if role else module.rpartition(".")[0].removesuffix(".layers")
        records.append(Record(index, site, (1, 4), "float32", depth, parent, pass_, part=int(part or 0)))
    return records
