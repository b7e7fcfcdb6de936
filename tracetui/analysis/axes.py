"""The named axes of a recorded tensor: `[B=1, T=17, D=4096]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracetui.recording.record import Record
from tracetui.recording.trace import Trace

_ROLE_AXES = {
    "q": ("B", "H", "T", "K"),
    "k": ("B", "G", "S", "K"),
    "v": ("B", "G", "S", "Kv"),
    "mask": ("B", "H", "T", "S"),
    "scores": ("B", "H", "T", "S"),
    "masked": ("B", "H", "T", "S"),
    "probs": ("B", "H", "T", "S"),
    "heads": ("B", "H", "T", "Kv"),
    "kv_latent": ("B", "S", "R"),
    "k_rope": ("B", "S", "rope"),
    "q_absorbed": ("B", "H", "T", "R"),
    "absorbed_scores": ("B", "H", "T", "S"),
    "sinks": ("H",),
    "position_bias": ("B", "H", "T", "S"),
    "router_logits": ("N", "E"),
    "router_scores": ("N", "E"),
    "selection_scores": ("N", "E"),
    "selection_bias": ("E",),
    "experts": ("N", "A"),
    "routing_weights": ("N", "A"),
    "tokens": ("n",),
    "in": ("n", "D"),
    "input": ("B", "T", "D"),
    "attn_residual": ("B", "T", "D"),
}
_RECURRENT_AXES = {
    "conv": ("B", "C", "T"),
    "conv_state": ("B", "C", "W"),
    "x": ("B", "T", "H", "V"),
    "dt": ("B", "T", "H"),
    "decay": ("B", "T", "H", "K"),
    "beta": ("B", "T", "H"),
    "B": ("B", "T", "G", "K"),
    "C": ("B", "T", "G", "K"),
    "query": ("B", "T", "G", "K"),
    "key": ("B", "T", "G", "K"),
    "value": ("B", "T", "H", "V"),
    "gate": ("B", "T", "H"),
    "update": ("B", "T", "H"),
    "scan_output": ("B", "T", "H", "V"),
    "state": ("B", "H", "K", "V"),
}
"""Of a recurrence; a family in which each channel is a head lacks the last ones."""
_MODULE_LAST = {
    "q_proj": "H·K",
    "k_proj": "G·K",
    "v_proj": "G·Kv",
    "gate_proj": "F",
    "up_proj": "F",
    "act_fn": "F",
    "lm_head": "V",
    "rotary_emb": "K",
}
_HEAD_FIELDS = {
    "q_proj": ("H", "num_attention_heads", "K"),
    "k_proj": ("G", "num_key_value_heads", "K"),
    "v_proj": ("G", "num_key_value_heads", "Kv"),
}


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a tensor: its letter and its length."""

    name: str
    length: int


def axes_of(record: Record, config: Mapping[str, object]) -> tuple[Axis, ...]:
    """The axes of a record's tensor, named from its role, its module and the model's config.

    An axis that nothing tells the meaning of is called by its number, `d2`.
    """
    names = _names(record, config)
    return tuple(Axis(name, length) for name, length in zip(names, record.shape, strict=True))


def describe(axes: tuple[Axis, ...]) -> str:
    """`[B=1, T=17, D=4096]`."""
    return "[" + ", ".join(f"{axis.name}={axis.length}" for axis in axes) + "]"


def split_heads(record: Record, config: Mapping[str, object]) -> tuple[Axis, ...] | None:
    """The axes `[B, T, H, K]` into which a projection's output [B, T, H·K] divides; None where there are no heads."""
    fields = _HEAD_FIELDS.get(_leaf(record))
    if fields is None or record.role or len(record.shape) != 3:
        return None
    letter, field, size = fields
    heads = _int(config, field) or _int(config, "num_attention_heads")
    batch, tokens, width = record.shape
    if not heads or width % heads:
        return None
    return (Axis("B", batch), Axis("T", tokens), Axis(letter, heads), Axis(size, width // heads))


def _names(record: Record, config: Mapping[str, object]) -> tuple[str, ...]:
    rank = len(record.shape)
    if record.role and len(by_role := _ROLE_AXES.get(record.role, ())) == rank:
        return by_role
    if record.role and len(by_role := _RECURRENT_AXES.get(record.role, ())) >= rank:
        return by_role[:rank]
    if record.site == "logits" and rank == 3:
        return ("B", "T", "V")
    if rank == 3:
        return ("B", "T", _MODULE_LAST.get(_leaf(record)) or _width(record.shape[-1], config))
    if rank == 2:
        return ("n" if _is_expert(record) else "N", _width(record.shape[-1], config))
    return tuple(f"d{axis}" for axis in range(rank))


def _is_expert(record: Record) -> bool:
    """Whether it is the output of one expert, which sees some of the tokens."""
    around, _, leaf = record.module.rpartition(".")
    return leaf.isdigit() and around.endswith(".experts")


def _leaf(record: Record) -> str:
    return record.module.rpartition(".")[2]


def _width(length: int, config: Mapping[str, object]) -> str:
    for letter, field in (("D", "hidden_size"), ("F", "intermediate_size"), ("V", "vocab_size")):
        if length == _int(config, field):
            return letter
    return "d"


def _int(config: Mapping[str, object], field: str) -> int | None:
    value = config.get(field)
    return value if isinstance(value, int) else None


def axis_positions(name: str, length: int, trace: Trace, pass_: int) -> range | None:
    """The positions that an axis of queries or keys covers in a pass; None if its length fits none.

    The keys of a pass are those of all positions so far; with a sliding window a later pass has only the last of them.
    """
    computed = trace.positions(pass_)
    if name in ("T", "query"):
        return computed if length == len(computed) else None
    if name not in ("S", "key") or length > computed.stop or (length < computed.stop and not pass_):
        return None
    return range(computed.stop - length, computed.stop)
