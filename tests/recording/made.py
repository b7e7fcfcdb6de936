"""Traces for the tests of this folder: made by hypothesis, and one small one made by hand."""

from __future__ import annotations

from dataclasses import astuple, replace
from itertools import accumulate
from types import MappingProxyType

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracetui.formats.npy import stored_as
from tracetui.recording.outline import NO_MODULE, Module
from tracetui.recording.parallel import WHOLE, Parallel, Place, RankPiece, Shard, UnlikeReplicas
from tracetui.recording.record import AttentionCall, Record, Token
from tracetui.recording.statistics import Statistics, without_finite
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Array, ArrayValue, StatisticsValue, Value

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128", "bfloat16", "float8_e4m3fn"),
)


class KnownValue(ArrayValue):
    """An array with statistics of any kind: a file has to give back those it was told."""

    def __init__(self, array: Array, dtype: str, statistics: Statistics) -> None:
        super().__init__(array, dtype)
        self._statistics = statistics


texts = st.text(st.characters(), max_size=12)
"""Lone surrogates, NUL and controls included."""
counts = st.integers(0, 2**63 - 1)
floats = st.floats()


def _sound(found: Statistics) -> Statistics:
    """No more elements of a kind than there are; without a finite one there are no numbers."""
    found = replace(found, numel=max(found.numel, found.nan + found.posinf + found.neginf, found.zeros))
    without = without_finite(found.numel, found.nan, found.posinf, found.neginf)
    return found if found.finite_count else replace(without, zeros=found.zeros)


parts = st.integers(0, 2**61)
statistics = st.builds(Statistics, counts, floats, floats, floats, floats, floats, parts, parts, parts, parts).map(
    _sound
)
tokens = st.builds(Token, st.integers(-100, 2**62), st.binary(max_size=8), st.booleans())
attention_calls = st.builds(
    AttentionCall,
    scale=floats,
    is_causal=st.booleans(),
    kernel=texts,
    softcap=st.none() | floats,
    sliding_window=st.none() | counts,
    heads=counts,
    kv_heads=counts,
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, plain, max_size=4)


@st.composite
def parallels(draw: st.DrawFn) -> Parallel:
    world = draw(st.integers(1, 2**40))
    mesh = draw(st.dictionaries(texts, st.integers(1, world), max_size=3))
    at = {axis: draw(st.integers(0, size - 1)) for axis, size in mesh.items() if draw(st.booleans())}
    return Parallel(world, draw(st.none() | st.integers(0, world - 1)), mesh, at)


runs = st.builds(
    RunInfo,
    parallel=st.none() | parallels(),
    model=texts,
    recipe=objects,
    config=objects,
    tokenizer=texts,
    versions=st.dictionaries(texts, texts, max_size=3),
    notes=st.lists(texts, max_size=2).map(tuple),
    started=texts,
)
modules = st.builds(
    Module,
    path=texts,
    kind=texts,
    parameters=counts,
    weights=st.lists(st.tuples(texts, st.lists(counts, max_size=2).map(tuple)), max_size=2).map(tuple),
    skipped=st.booleans(),
    indices=st.lists(counts, max_size=3).map(tuple),
    active=st.none() | counts,
    elsewhere=st.dictionaries(texts, texts, max_size=2).map(lambda found: tuple(sorted(found.items()))),
)
outlines = st.recursive(
    modules,
    lambda inner: st.builds(
        lambda module, children: replace(module, children=tuple(children)), modules, st.lists(inner, max_size=2)
    ),
    max_leaves=5,
)
_ordinary = st.sampled_from(
    ["logits", "model", "model.layers.0", "model.layers.0:input", "model.layers.1.self_attn:q", "Model.Layers.0"]
)
_abusive = st.sampled_from(
    [
        *("../../x", "/etc/passwd", "a\\b", "a\0b", "é", "x" * 300, "", ".", "..", "x.npy", "%2E"),
        *("__tracetui__", "__TIMING__"),
    ]
)
sites = _ordinary | _abusive | texts


@st.composite
def values(draw: st.DrawFn) -> Value:
    dtype = draw(st.sampled_from(DTYPES))
    array = draw(hnp.arrays(stored_as(dtype), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)))
    if draw(st.integers(0, 4)) == 0:
        return StatisticsValue(array.shape, dtype, draw(statistics))
    return KnownValue(array, dtype, draw(statistics))


@st.composite
def shards(draw: st.DrawFn, dimension: int, length: int) -> Shard:
    """A part of this length, of one range or cut into several."""
    of = draw(st.integers(1, 2**40))
    cuts = sorted({0, length, *draw(st.lists(st.integers(0, length), max_size=2))})
    gaps = [draw(st.integers(0, 2**40)) for _ in cuts]
    ends = [gap + cut for gap, cut in zip(accumulate(gaps), cuts, strict=True)]
    ranges = tuple((end - (cut - before), end) for before, cut, end in zip(cuts, cuts[1:], ends[1:], strict=False))
    return Shard(dimension, of, draw(st.integers(0, of - 1)), ends[-1] + draw(st.integers(0, 9)), ranges)


@st.composite
def places(draw: st.DrawFn, shape: tuple[int, ...], axes: tuple[str, ...]) -> Place:
    """A part of any tensor, such as can have this shape."""
    if draw(st.booleans()):
        return WHOLE
    cut = [place for place in range(len(shape)) if draw(st.booleans())]
    parts = tuple(draw(shards(dimension, shape[dimension])) for dimension in cut)
    partial = tuple(axis for axis in axes if draw(st.booleans()))
    return Place(parts, partial, draw(st.none() | st.tuples(counts, counts)))


@st.composite
def pieces(draw: st.DrawFn, run: RunInfo) -> dict[str, tuple[RankPiece, ...]]:
    """Who had what of merged records."""
    if run.parallel is None:
        return {}
    rank = st.integers(0, run.parallel.world - 1)
    cuts = places((2, 3), tuple(run.parallel.mesh)).filter(lambda place: place != WHOLE)
    return draw(st.dictionaries(texts, st.lists(st.builds(RankPiece, rank, cuts), max_size=2).map(tuple), max_size=2))


@st.composite
def unlike(draw: st.DrawFn, run: RunInfo) -> dict[str, UnlikeReplicas]:
    if run.parallel is None:
        return {}
    group = st.lists(st.integers(0, run.parallel.world - 1), min_size=1, max_size=2).map(tuple)
    groups = st.lists(group, min_size=2, max_size=3).map(tuple)
    far = st.none() | st.floats(min_value=0, allow_nan=False)
    return draw(st.dictionaries(texts, st.builds(UnlikeReplicas, groups, far, st.none() | counts), max_size=2))


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    pool = draw(st.lists(values(), min_size=1, max_size=4))
    chosen = draw(st.lists(st.sampled_from(pool), max_size=6))
    small = st.integers(0, 3)
    run = draw(runs)
    axes = () if run.parallel is None else tuple(run.parallel.mesh)
    records = [
        Record(
            index=index,
            site=draw(sites),
            shape=value.shape,
            dtype=value.dtype,
            depth=draw(small),
            parent=draw(texts),
            pass_=draw(small),
            call=draw(small),
            part=draw(small),
            seconds=draw(st.none() | floats),
            provenance=draw(texts),
            place=draw(places(value.shape, axes)),
        )
        for index, value in enumerate(chosen)
    ]
    known = draw(st.lists(tokens, max_size=3))
    # Rows of tokens have to be those of the queries; a trace without tokens agrees with any.
    most = 0 if any(record.role == "q" and len(record.shape) == 4 for record in records) else 3
    return Trace(
        run=run,
        tokens=tuple(tuple(row) for row in draw(st.lists(st.lists(tokens, max_size=4), max_size=most))),
        records=tuple(records),
        values=tuple(chosen),
        attention=draw(st.dictionaries(texts, attention_calls, max_size=2)),
        vocabulary={token.id: token for token in known},
        complete=draw(st.booleans()),
        outline=draw(st.just(NO_MODULE) | outlines),
        dump=draw(st.booleans()),
        pieces=draw(pieces(run)),
        unlike_replicas=draw(unlike(run)),
    )


def as_text(found: object) -> str:
    """Whatever a mapping or a record says, NaN equal to NaN and mappings of any kind alike."""
    if isinstance(found, dict | MappingProxyType):
        return "{" + ", ".join(f"{as_text(key)}: {as_text(found[key])}" for key in sorted(found, key=repr)) + "}"
    if isinstance(found, list):
        return "[" + ", ".join(map(as_text, found)) + "]"
    return repr(found)


def assert_same(found: Trace, expected: Trace) -> None:
    """Everything a trace says is the same: values bit for bit, and which records share one."""
    for name in ("model", "recipe", "config", "tokenizer", "versions", "notes", "started"):
        assert as_text(getattr(found.run, name)) == as_text(getattr(expected.run, name)), name
    assert found.run.parallel == expected.run.parallel
    assert (dict(found.pieces), dict(found.unlike_replicas)) == (dict(expected.pieces), dict(expected.unlike_replicas))
    assert found.tokens == expected.tokens
    assert as_text(found.vocabulary) == as_text(expected.vocabulary)
    assert as_text(found.attention) == as_text(expected.attention)
    assert (found.complete, found.dump) == (expected.complete, expected.dump)
    assert found.outline == expected.outline
    assert [repr(astuple(record)) for record in found.records] == [repr(astuple(record)) for record in expected.records]
    for here, there in zip(found.values, expected.values, strict=True):
        assert_same_value(here, there)
    assert _sharing(found) == _sharing(expected)


def assert_same_value(here: Value, there: Value) -> None:
    assert (here.shape, here.dtype) == (there.shape, there.dtype)
    assert repr(here.statistics()) == repr(there.statistics())
    if isinstance(there, StatisticsValue):
        assert isinstance(here, StatisticsValue)
    else:
        one, other = here.read(), there.read()
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def _sharing(trace: Trace) -> list[int]:
    """For each record the first that has the same kept values."""
    first: dict[int, int] = {}
    alone = [isinstance(value, StatisticsValue) for value in trace.values]
    return [i if alone[i] else first.setdefault(id(value), i) for i, value in enumerate(trace.values)]


def small_trace(rows: int = 40) -> Trace:
    """Five records of two layers: one bf16, one not kept, and the last two are one tensor."""
    rng = np.random.default_rng(7)
    hidden = ArrayValue(rng.standard_normal((1, rows, 16), np.float32))
    narrow = ArrayValue(rng.integers(-8, 8, (1, rows, 16)).astype(np.float32), "bfloat16")
    experts = ArrayValue(rng.integers(0, 64, (rows, 8)))
    lost = StatisticsValue((1, rows, 4), "float32", hidden.statistics())
    logits = ArrayValue(rng.standard_normal((1, rows, 32), np.float32))
    sites: list[tuple[str, Value]] = [
        ("model.embed_tokens", hidden),
        ("model.layers.0.self_attn:q", narrow),
        ("model.layers.1.mlp:experts", experts),
        ("model.layers.1", lost),
        ("lm_head", logits),
        ("logits", logits),
    ]
    records = tuple(
        Record(index, site, value.shape, value.dtype, depth=site.count("."), seconds=0.25, provenance="random")
        for index, (site, value) in enumerate(sites)
    )
    return Trace(
        run=RunInfo("tiny", {"prompt": "hi"}, {"model_type": "llama", "hidden_size": 16}, "bytes", {"torch": "2.13"}),
        tokens=((Token(1, b"<s>", special=True), Token(104, b"\xe2\x82")),),
        records=records,
        values=tuple(value for _, value in sites),
        attention={"model.layers.0.self_attn:q": AttentionCall(0.25, is_causal=True, kernel="sdpa")},
        outline=Module("", "Tiny", 3, children=(Module("model", "TinyModel", 3),)),
    )
