"""Which parts tensor-parallel ranks recorded, where their files don't say it: told by shapes, bits and modules' names.

A module that several ranks computed in columns, or of which each has an addend, is known by its name (the styles that
transformers' and vLLM's own plans give them); whether it was divided at all is told by the numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from tracetui.errors import InputError
from tracetui.recording.npz.writer import blocks
from tracetui.recording.parallel import WHOLE, Parallel, Place, Shard
from tracetui.recording.ranks.values import same_bits
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Value, is_kept
from tracetui.text import visible

AXIS = "tp"
_COLUMNS = frozenset(
    {
        *("q_proj", "k_proj", "v_proj", "qkv_proj", "gate_proj", "up_proj", "gate_up_proj", "act_fn", "w1", "w3"),
        *("attn", "rotary_emb", "q_b_proj", "kv_b_proj"),
    }
)
"""Modules whose output has a part of the columns on each rank."""
_HEADS = frozenset({"q_norm", "k_norm"})
"""Those with a part of the heads: [B,T,H,K]."""
_ADDENDS = frozenset({"experts", "shared_expert", "shared_experts"})
"""Those whose outputs are added up later, by the block around them; what lies inside of the last two too."""
_Ranges = tuple[tuple[int, int], ...]


def placed(traces: Sequence[Trace]) -> list[Trace]:
    """The traces, in their ranks' order, with what part each record is. Raises InputError where that can't be told."""
    count = len(traces)
    values: dict[str, list[tuple[Record, Value]]] = defaultdict(list)
    for trace in traces:
        for record, value in zip(trace.records, trace.values, strict=True):
            values[record.key].append((record, value))
    places = {key: _places(key, each, values) for key, each in values.items() if len(each) == count}
    return [_with_places(trace, rank, count, places) for rank, trace in enumerate(traces)]


def _with_places(trace: Trace, rank: int, count: int, places: dict[str, list[Place]]) -> Trace:
    whole = [WHOLE] * count
    records = tuple(replace(record, place=places.get(record.key, whole)[rank]) for record in trace.records)
    return replace(
        trace, run=replace(trace.run, parallel=Parallel(count, rank, {AXIS: count}, {AXIS: rank})), records=records
    )


def _places(
    key: str, held: Sequence[tuple[Record, Value]], values: dict[str, list[tuple[Record, Value]]]
) -> list[Place]:
    """One a rank; whole where all have the same, or where nothing says that they have parts."""
    shapes = [record.shape for record, _ in held]
    different = [axis for axis in range(len(shapes[0])) if len({shape[axis : axis + 1] for shape in shapes}) > 1]
    same_rank = len({len(shape) for shape in shapes}) == 1
    if not same_rank or len(different) > 1:
        return [WHOLE] * len(held)
    module, is_alike = held[0][0].module, not different and _are_alike([value for _, value in held])
    if is_alike:
        return [WHOLE] * len(held)
    leaf = module.partition("#")[0].rpartition(".")[2]
    tensors = [value for _, value in held]
    if not different and (leaf in _ADDENDS or any(f".{name}." in module for name in _ADDENDS - {"experts"})):
        inside = leaf in _COLUMNS
        return _cut(shapes, len(shapes[0]) - 1, tensors) if inside else [Place(partial=(AXIS,))] * len(held)
    if leaf in ("qkv_proj", "gate_up_proj"):
        return _packed(shapes, _blocks_of(key, leaf, held, values))
    if different:
        return _cut(shapes, different[0], tensors)
    if leaf in _COLUMNS | _HEADS:
        return _cut(shapes, len(shapes[0]) - (2 if leaf in _HEADS and len(shapes[0]) > 3 else 1), tensors)
    return [WHOLE] * len(held)


def _are_alike(values: Sequence[Value]) -> bool:
    first, *others = values
    if any(value.shape != first.shape for value in others):
        return False
    if not all(map(is_kept, values)):
        return all(repr(value.statistics()) == repr(first.statistics()) for value in others)
    return all(
        all(same_bits(part, value.read(index)) for value in others)
        for index in blocks(first.shape, 8)
        for part in [first.read(index)]
    )


def _cut(shapes: Sequence[tuple[int, ...]], dimension: int, values: Sequence[Value]) -> list[Place]:
    """Parts beside each other; ranks with the same bits, as of a key-value head that several ranks need, have one."""
    first = [next(at for at in range(rank + 1) if _are_alike([values[at], value])) for rank, value in enumerate(values)]
    owners = sorted(set(first))
    lengths = [shapes[owner][dimension] for owner in owners]
    ends = list(accumulate(lengths))
    at = [owners.index(owner) for owner in first]
    return [_place(dimension, number, lengths, ((ends[number] - lengths[number], ends[number]),)) for number in at]


def _place(dimension: int, at: int, lengths: Sequence[int], ranges: _Ranges) -> Place:
    kept = tuple(each for each in ranges if each[0] < each[1])
    return Place((Shard(dimension, len(lengths), at, sum(lengths), kept),))


def _packed(shapes: Sequence[tuple[int, ...]], widths: Sequence[tuple[int, ...]]) -> list[Place]:
    """Blocks beside each other, of each of which every rank has columns; `widths` are a rank's own, a block each."""
    dimension, lengths = len(shapes[0]) - 1, [shape[-1] for shape in shapes]
    ends = [list(accumulate(rank[block] for rank in widths)) for block in range(len(widths[0]))]
    starts = [0, *accumulate(each[-1] for each in ends)]
    places = []
    for at, rank in enumerate(widths):
        ranges = tuple(
            (starts[block] + ends[block][at] - width, starts[block] + ends[block][at])
            for block, width in enumerate(rank)
        )
        places.append(_place(dimension, at, lengths, ranges))
    return places


def _blocks_of(
    key: str, leaf: str, held: Sequence[tuple[Record, Value]], values: dict[str, list[tuple[Record, Value]]]
) -> list[tuple[int, ...]]:
    """How wide gate and up, or query, key and value, are on each rank."""
    lengths = [record.shape[-1] for record, _ in held]
    if leaf == "gate_up_proj":
        return [(length // 2, length - length // 2) for length in lengths]
    beside = values.get(key.replace("qkv_proj", "attn", 1), [])
    queries = [record.shape[-1] for record, _ in beside] or lengths
    if len(queries) != len(lengths) or any(
        q >= length or (length - q) % 2 for q, length in zip(queries, lengths, strict=False)
    ):
        need = f"{visible(key.replace('qkv_proj', 'attn', 1))} beside it"
        raise InputError(f"{visible(key)}: how much of it is the query can't be told without {need}")
    widths: list[tuple[int, ...]] = [
        (q, (length - q) // 2, (length - q) // 2) for q, length in zip(queries, lengths, strict=True)
    ]
    if any(map(_have_same_keys, held, held[1:], widths, widths[1:])):
        raise InputError(f"{visible(key)}: ranks have copies of the same key-value heads; record q, k and v apart")
    return widths


def _have_same_keys(
    one: tuple[Record, Value], other: tuple[Record, Value], widths: tuple[int, ...], others: tuple[int, ...]
) -> bool:
    """Whether two ranks have the same columns behind those of their queries."""
    if widths != others or not (is_kept(one[1]) and is_kept(other[1])):
        return False
    index = (slice(None),) * (len(one[0].shape) - 1) + (slice(widths[0], None),)
    return same_bits(one[1].read(index), other[1].read(index))
