"""The named axes of a recorded tensor: `[B=1, T=17, D=4096]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tracetui.recording.parallel import Shard
from tracetui.recording.record import Record
from tracetui.recording.trace import RunInfo, Trace

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
RECURRENT_AXES = {
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
    whole: int | None = None
    """The length in the whole tensor, of which a rank has a part."""
    shard: Shard | None = None
    """Which part that is, where the axis is one that was cut."""

    def whole_index(self, index: int) -> int:
        """What an index along it is in the whole tensor."""
        return index if self.shard is None else self.shard.whole_index(index)


def axes_of(record: Record, config: Mapping[str, object]) -> tuple[Axis, ...]:
    """The axes of a record's tensor, named from its role, its module and the model's config.

    An axis that nothing tells the meaning of is called by its number, `d2`.
    """
    names, shards = _names(record, config), {shard.dimension: shard for shard in record.place.shards}
    return tuple(
        Axis(name, length, shards[dimension].size, shards[dimension]) if dimension in shards else Axis(name, length)
        for dimension, (name, length) in enumerate(zip(names, record.shape, strict=True))
    )


def describe(axes: tuple[Axis, ...], remark: str = "") -> str:
    """`[B=1, T=17, D=4096]`; with a remark, of a part, `[B=1, T=17, D=2048 of 4096 · rank 0 of 2]`."""
    lengths = (f"{axis.length}" if axis.whole is None else f"{axis.length} of {axis.whole}" for axis in axes)
    texts = (f"{axis.name}={length}" for axis, length in zip(axes, lengths, strict=True))
    return f"[{', '.join(texts)}{f' · {remark}' if remark else ''}]"


def describe_shape(record: Record, run: RunInfo) -> str:
    """The axes of a record, and whose part of the whole it is."""
    return describe(axes_of(record, run.config), part_remark(record, run))


def part_remark(record: Record, run: RunInfo) -> str:
    """`rank 0 of 2`, for a tensor that isn't whole; empty for one that is."""
    place, parallel = record.place, run.parallel
    if place.is_whole:
        return ""
    rank = f"rank {parallel.rank} of {parallel.world}" if parallel is not None and parallel.rank is not None else ""
    words = ["partial sum"] if place.partial else []
    if place.experts is not None:
        first, count = place.experts
        words.append(f"experts {first} to {first + count - 1} alone" if count else "none of the experts")
    return ", ".join(filter(None, [*words, rank]))


def split_heads(record: Record, config: Mapping[str, object]) -> tuple[Axis, ...] | None:
    """The axes `[B, T, H, K]` into which a projection's output [B, T, H·K] divides; None where there are no heads."""
    fields = _HEAD_FIELDS.get(_leaf(record))
    if fields is None or record.role or len(record.shape) != 3:
        return None
    letter, field, size = fields
    heads = _int(config, field) or _int(config, "num_attention_heads")
    batch, tokens, width = record.shape
    head, rest = divmod(record.place.whole_shape(record.shape)[-1], heads or 1)
    if not heads or rest or not head or width % head:
        return None
    own = Axis(letter, width // head)
    for shard in record.place.shards:
        ranges = tuple((first // head, end // head) for first, end in shard.ranges)
        if shard.dimension == 2:
            own = replace(own, whole=heads, shard=replace(shard, size=heads, ranges=ranges))
    return (Axis("B", batch), Axis("T", tokens), own, Axis(size, head))


def _names(record: Record, config: Mapping[str, object]) -> tuple[str, ...]:
    rank, last = len(record.shape), record.place.whole_shape(record.shape)[-1:]
    if record.role and len(by_role := _ROLE_AXES.get(record.role, ())) == rank:
        return by_role
    if record.role and len(by_role := RECURRENT_AXES.get(record.role, ())) >= rank:
        return by_role[:rank]
    if record.site == "logits" and rank == 3:
        return ("B", "T", "V")
    if rank == 3:
        return ("B", "T", _MODULE_LAST.get(_leaf(record)) or _width(last[0], config))
    if rank == 2:
        return ("n" if _is_expert(record) else "N", _width(last[0], config))
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

    The flat tokens of a single prompt, as routers have them, are its queries.
    The keys of a pass are those of all positions so far; with a sliding window a later pass has only the last of them.
    """
    computed = trace.positions(pass_)
    if name in ("T", "query") or (name == "N" and len(trace.tokens) == 1):
        return computed if length == len(computed) else None
    if name not in ("S", "key") or length > computed.stop or (length < computed.stop and not pass_):
        return None
    return range(computed.stop - length, computed.stop)
