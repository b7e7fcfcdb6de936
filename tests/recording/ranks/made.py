"""A whole trace cut into what each rank would have recorded: by columns, partial sums, experts or layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, product
from math import prod
from pathlib import Path

import numpy as np

from tracetui.recording.npz import write_trace
from tracetui.recording.parallel import WHOLE, Parallel, Place, Shard
from tracetui.recording.record import AttentionCall, Record, Token
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Array, ArrayValue, StatisticsValue, Value

T, D, H, K, F, E = 5, 16, 4, 4, 24, 4
CONFIG = {"model_type": "mixtral", "hidden_size": D, "num_attention_heads": H, "intermediate_size": F}
_FED = (("o_proj", (".o_proj", ":heads")), ("lm_head", ("lm_head", "model.norm")), ("1.mlp", (".mlp", ".mlp.gate")))
"""What some records were made of: how their sites end, and what is another in those of their inputs."""
Cut = Callable[[str, Array], "tuple[Array, Place] | None"]
"""What a rank has of a tensor, and where that stands; None where the rank hasn't it at all."""


def sites() -> dict[str, Array]:
    """A mixture of two layers, in the order of one process, values that no two sites share."""
    rng = np.random.default_rng(3)

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape, np.float32)

    arrays = {"model.embed_tokens": normal(1, T, D)}
    for layer in (f"model.layers.{number}" for number in range(2)):
        arrays |= {f"{layer}:input": normal(1, T, D), f"{layer}.input_layernorm": normal(1, T, D)}
        arrays |= {f"{layer}.self_attn.{name}_proj": normal(1, T, D) for name in "qkv"}
        arrays |= {f"{layer}.self_attn:{role}": normal(1, H, T, K) for role in "qkv"}
        arrays |= {f"{layer}.self_attn:heads": normal(1, H, T, K), f"{layer}.self_attn.o_proj": normal(1, T, D)}
        arrays |= {f"{layer}.self_attn": arrays[f"{layer}.self_attn.o_proj"], f"{layer}:attn_residual": normal(1, T, D)}
        arrays |= {f"{layer}.mlp.gate": normal(T, E)}
        chosen = np.argsort(arrays[f"{layer}.mlp.gate"], axis=1)[:, :2]
        arrays |= {f"{layer}.mlp:experts": chosen, f"{layer}.mlp:routing_weights": np.abs(normal(T, 2))}
        for expert in range(E):
            tokens = np.flatnonzero((chosen == expert).any(axis=1))
            if len(tokens):
                arrays |= {f"{layer}.mlp.experts.{expert}:tokens": tokens}
                arrays |= {f"{layer}.mlp.experts.{expert}": normal(len(tokens), D)}
        arrays |= {f"{layer}.mlp.gate_up_proj": normal(1, T, 2 * F), f"{layer}.mlp": normal(1, T, D)}
        arrays |= {layer: normal(1, T, D)}
    logits = normal(1, T, 32)
    return {**arrays, "model.norm": normal(1, T, D), "model": normal(1, T, D), "lm_head": logits, "logits": logits}


def trace_of(arrays: Mapping[str, Array], parallel: Parallel | None = None, **run: object) -> Trace:
    """The arrays as a recorded run; one and the same array is one value."""
    values: dict[int, Value] = {}
    records = []
    for index, (site, array) in enumerate(arrays.items()):
        values.setdefault(id(array), ArrayValue(array))
        feeding = next((name for end, name in _FED if site.endswith(end)), None)
        inputs = (list(arrays).index(site.replace(*feeding)),) if feeding else ()
        records.append(Record(index, site, array.shape, str(array.dtype), site.count("."), seconds=0.5, inputs=inputs))
    calls = {f"model.layers.{n}.self_attn:q": AttentionCall(0.5, True, "sdpa", heads=H, kv_heads=H) for n in range(2)}
    return Trace(
        run=RunInfo("tiny", config=CONFIG, parallel=parallel),
        tokens=(tuple(Token(number, b"x") for number in range(T)),),
        records=tuple(records),
        values=tuple(values[id(array)] for array in arrays.values()),
        attention={key: call for key, call in calls.items() if key in arrays},
    )


def rank_trace(arrays: Mapping[str, Array], parallel: Parallel, cut: Cut) -> Trace:
    """What one rank has of them."""
    parts: dict[str, Array] = {}
    places: dict[str, Place] = {}
    known: dict[tuple[int, Place], Array] = {}
    for site, array in arrays.items():
        piece = cut(site, array)
        if piece is not None:
            parts[site] = known.setdefault((id(array), piece[1]), piece[0])
            places[site] = piece[1]
    trace = trace_of(parts, parallel)
    calls = {key: replace(call, heads=parts[key].shape[1], kv_heads=0) for key, call in trace.attention.items()}
    records = tuple(replace(record, place=places[record.site]) for record in trace.records)
    return replace(trace, records=records, attention=calls)


def columns(
    array: Array, dimension: int, of: int, at: int, blocks: int = 1, widths: Sequence[int] = ()
) -> tuple[Array, Place]:
    """One of so many parts along a dimension, of each of the blocks that are packed in it; `widths` where uneven."""
    dimension %= array.ndim
    size = array.shape[dimension]
    block = size // blocks
    lengths = list(widths) or [block // of] * of
    end = list(accumulate(lengths))[at]
    ranges = tuple((number * block + end - lengths[at], number * block + end) for number in range(blocks))
    part = np.concatenate([np.take(array, range(*each), axis=dimension) for each in ranges], axis=dimension)
    return part, Place((Shard(dimension, of, at, size, tuple(each for each in ranges if each[0] < each[1])),))


def addend(array: Array, of: int, at: int, axis: str = "tp") -> tuple[Array, Place]:
    """One of so many parts whose sum is the array, but for rounding."""
    rng = np.random.default_rng(array.size)
    parts = [rng.standard_normal(array.shape) for _ in range(of - 1)]
    parts.append(array - sum(parts, start=np.zeros(array.shape)))
    return parts[at].astype(array.dtype), Place(partial=(axis,))


def tensor_parallel(of: int, at: int, widths: Sequence[int] = ()) -> Cut:
    """As transformers shards a mixture of experts: heads and columns, experts' outputs partial sums, the rest whole."""

    def cut(site: str, array: Array) -> tuple[Array, Place]:
        if site.endswith(("q_proj", "k_proj", "v_proj")):
            return columns(array, -1, of, at, widths=widths)
        if site.endswith(("attn:q", "attn:k", "attn:v", "attn:heads")):
            return columns(array, 1, of, at)
        if site.endswith("gate_up_proj"):
            return columns(array, -1, of, at, blocks=2)
        if ".experts." in site and ":" not in site:
            return addend(array, of, at)
        return array, WHOLE

    return cut


def expert_parallel(of: int, at: int) -> Cut:
    """Each rank has some of the experts, and of the choices those of its own."""
    count = E // of
    mine = range(at * count, (at + 1) * count)

    def cut(site: str, array: Array) -> tuple[Array, Place] | None:
        if ".mlp.experts." in site:
            return (array, WHOLE) if int(site.partition(":")[0].rpartition(".")[2]) in mine else None
        if site.endswith("mlp:experts"):
            return np.where(np.isin(array, mine), array, -1), Place(experts=(mine.start, count))
        if site.endswith("mlp:routing_weights"):
            chosen = sites()[site.replace("routing_weights", "experts")]
            return np.where(np.isin(chosen, mine), array, np.float32(0)), Place(experts=(mine.start, count))
        return array, WHOLE

    return cut


def pipeline(at: int) -> Cut:
    """Layer 0 on rank 0, all after it on rank 1; the base model hands on what its stage ends with."""

    def cut(site: str, array: Array) -> tuple[Array, Place] | None:
        if site == "model" and not at:
            return sites()["model.layers.0"], WHOLE
        early = site == "model.embed_tokens" or site.startswith("model.layers.0")
        late = site.startswith("model.layers.1") or site in ("model.norm", "lm_head")
        return None if (late and not at) or (early and at) else (array, WHOLE)

    return cut


def ranks_of(mesh: Mapping[str, int]) -> list[Parallel]:
    """Every rank of a mesh, the last axis' neighbours beside each other."""
    every = product(*(range(size) for size in mesh.values()))
    world = prod(mesh.values())
    return [Parallel(world, rank, mesh, dict(zip(mesh, at, strict=True))) for rank, at in enumerate(every)]


def tp_traces(of: int = 2, widths: Sequence[int] = ()) -> list[Trace]:
    arrays = sites()
    return [rank_trace(arrays, each, tensor_parallel(of, at, widths)) for at, each in enumerate(ranks_of({"tp": of}))]


def changed(trace: Trace, site: str, change: Callable[[Array], Array]) -> Trace:
    """The trace with other values at one site."""
    values = [
        ArrayValue(change(value.read())) if record.site == site else value
        for record, value in zip(trace.records, trace.values, strict=True)
    ]
    return replace(trace, values=tuple(values))


def one_ulp(array: Array) -> Array:
    """One element changed by its last bit."""
    flat = array.reshape(-1).copy()
    flat[7] = np.nextafter(flat[7], np.float32(np.inf))
    return flat.reshape(array.shape)


def without_values(trace: Trace) -> Trace:
    values = tuple(StatisticsValue(value.shape, value.dtype, value.statistics()) for value in trace.values)
    return replace(trace, values=values)


def written(traces: Sequence[Trace], folder: Path) -> list[Path]:
    """A file a rank, by its rank's number."""
    paths = []
    for number, trace in enumerate(traces):
        rank = number if trace.run.parallel is None else trace.run.parallel.rank
        paths.append(folder / f"rank{rank:05}.npz")
        write_trace(trace, paths[-1])
    return paths
