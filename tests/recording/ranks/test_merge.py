"""Rank files of every parallel form give the one-process trace back; what doesn't add up is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path

import numpy as np
import pytest

from tests.recording.made import assert_same_value
from tests.recording.ranks.made import (
    addend,
    changed,
    columns,
    expert_parallel,
    one_ulp,
    pipeline,
    rank_trace,
    ranks_of,
    sites,
    tensor_parallel,
    tp_traces,
    trace_of,
    without_values,
    written,
)
from tracetui.formats.zip_arrays import StoredArray
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.npz.array_file import ArrayFile
from tracetui.recording.parallel import Parallel, Place, Shard, UnlikeReplicas
from tracetui.recording.ranks.files import gathered_from
from tracetui.recording.ranks.gather import Gathered, RankTrace
from tracetui.recording.ranks.merge import Merged, merged_trace
from tracetui.recording.ranks.replicas import ComparedReplicas, TakenReplicas
from tracetui.recording.record import Record
from tracetui.recording.statistics import of_array
from tracetui.recording.summary import describe
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Array, ArrayValue, Index, NotKeptError, StatisticsValue

WHOLE_TRACE = trace_of(sites())


def merged(traces: Sequence[Trace], folder: Path) -> Merged:
    return merged_trace(gathered_from(written(traces, folder)), ComparedReplicas())


def stored(traces: Sequence[Trace], folder: Path) -> Trace:
    """Merged without a misfit, written and read again."""
    both = merged(traces, folder)
    assert both.misfits == ()
    write_trace(both.trace, folder / "run.npz")
    return read_trace(folder / "run.npz")


def assert_is_whole(trace: Trace, sums: tuple[str, ...] = ()) -> None:
    """The one-process trace, in its order; `sums` may be rounded, by a hair."""
    assert [record.key for record in trace.records] == [record.key for record in WHOLE_TRACE.records]
    for record, expected in zip(trace.records, WHOLE_TRACE.records, strict=True):
        assert (record.shape, record.dtype, record.inputs) == (expected.shape, expected.dtype, expected.inputs)
        assert record.place.is_whole
        value, whole = trace.value(record), WHOLE_TRACE.value(expected)
        if record.role == "" and any(part in record.site for part in sums):
            np.testing.assert_allclose(value.read(), whole.read(), rtol=2e-6, atol=2e-6)
        else:
            np.testing.assert_array_equal(value.read(), whole.read(), err_msg=record.key)
            np.testing.assert_allclose(
                [getattr(value.statistics(), name) for name in ("l2", "mean", "std", "min", "max", "zeros")],
                [getattr(whole.statistics(), name) for name in ("l2", "mean", "std", "min", "max", "zeros")],
                rtol=1e-12,
                atol=1e-15,
            )


@pytest.mark.parametrize(("of", "widths"), [(2, ()), (4, ()), (4, (5, 5, 5, 1)), (4, (8, 8, 0, 0))])
def test_columns_heads_packed_pairs_and_partial_sums(tmp_path: Path, of: int, widths: tuple[int, ...]) -> None:
    trace = stored(tp_traces(of, widths), tmp_path)
    assert_is_whole(trace, sums=(".experts.",))
    assert trace.run.parallel == Parallel(of, None, {"tp": of})
    call = trace.attention["model.layers.0.self_attn:q"]
    assert (call.heads, call.kv_heads) == (4, 0)
    assert [piece.rank for piece in trace.pieces["model.layers.0.self_attn.q_proj"]] == (
        [0, 1, 2] if 0 in widths else list(range(of))
    )
    assert "model.layers.0" not in trace.pieces
    assert dict(trace.unlike_replicas) == {}
    lm_head, logits = (trace.find(key) for key in ("lm_head", "logits"))
    assert lm_head is not None
    assert logits is not None
    assert trace.value(lm_head) is trace.value(logits)


@pytest.mark.parametrize("of", [2, 4])
def test_experts_on_ranks_of_their_own(tmp_path: Path, of: int) -> None:
    ranks = [rank_trace(sites(), each, expert_parallel(of, at)) for at, each in enumerate(ranks_of({"ep": of}))]
    assert_is_whole(stored(ranks, tmp_path))


def test_stages_of_a_pipeline(tmp_path: Path) -> None:
    trace = stored([rank_trace(sites(), each, pipeline(at)) for at, each in enumerate(ranks_of({"pp": 2}))], tmp_path)
    assert_is_whole(trace)
    assert dict(trace.unlike_replicas) == {}


def test_a_mesh_of_replicas_and_columns(tmp_path: Path) -> None:
    ranks = [
        rank_trace(sites(), each, tensor_parallel(2, each.coordinates["tp"])) for each in ranks_of({"fsdp": 2, "tp": 2})
    ]
    assert_is_whole(stored(ranks, tmp_path), sums=(".experts.",))


def test_a_mesh_that_cuts_two_dimensions(tmp_path: Path) -> None:
    whole = {"model.layers.0": np.arange(2 * 6 * 8, dtype=np.float32).reshape(2, 6, 8)}

    def cut(each: Parallel, array: Array) -> tuple[Array, Place]:
        rows, cut_rows = columns(array, 1, 2, each.coordinates["sp"])
        part, cut_columns = columns(rows, 2, 2, each.coordinates["tp"])
        return part, Place((*cut_rows.shards, *cut_columns.shards))

    ranks = [_ranked(each, whole, partial(cut, each)) for each in ranks_of({"sp": 2, "tp": 2})]
    together = merged(ranks, tmp_path).trace
    value = together.values[0]
    np.testing.assert_array_equal(value.read(), whole["model.layers.0"])
    index = (1, slice(4, 1, -2), slice(1, 8, 3))
    np.testing.assert_array_equal(value.read(index), whole["model.layers.0"][index])
    np.testing.assert_array_equal(value.read((0, 5)), whole["model.layers.0"][0, 5])
    assert value.read((slice(2, 2),)).shape == (0, 6, 8)


def test_statistics_alone_are_added_up(tmp_path: Path) -> None:
    ranks = [without_values(trace) for trace in tp_traces(4)]
    both = merged(ranks, tmp_path)
    assert both.misfits == ()
    assert all(".experts." in key for key in both.unknowable)
    assert len(both.unknowable) == sum(".experts." in record.site and not record.role for record in WHOLE_TRACE.records)
    assert f"left out are {len(both.unknowable)} partial sums" in both.trace.run.notes[-1]
    for record in both.trace.records:
        expected = of_array(WHOLE_TRACE[record.key])
        found = both.trace.statistics(record)
        assert (found.numel, found.min, found.max, found.zeros) == (
            *(expected.numel, expected.min, expected.max),
            expected.zeros,
        )
        np.testing.assert_allclose((found.l2, found.mean, found.std), (expected.l2, expected.mean, expected.std), 1e-12)
        with pytest.raises(NotKeptError):
            both.trace.value(record).read()


def test_of_many_ranks_only_what_differs_is_kept() -> None:
    """Statistics alone, of 4 columns by 64 replicas: one holder for each part, and one for the odd replica's."""
    query: Array = np.arange(40, dtype=np.float32).reshape(1, 5, 8)
    gathered = Gathered()
    for each in ranks_of({"dp": 64, "tp": 4}):
        norm: Array = np.full((1, 5), 2.0 if each.rank == 130 else 1.0)
        arrays = {"model.layers.0.q_proj": query, "model.norm": norm}
        trace = without_values(_ranked(each, arrays, partial(_quarter, at=each.coordinates["tp"])))
        gathered.add(RankTrace("", trace, each, each.rank or 0))
    assert [len(list(parts.holders)) for parts in gathered.parts.values()] == [4, 2]
    assert len(gathered.sequences) == 1
    merged = merged_trace(gathered, ComparedReplicas()).trace
    assert merged.statistics(merged.records[0]) == of_array(query)
    (unlike,) = merged.unlike_replicas.values()
    assert (len(unlike.groups[0]), unlike.groups[1], unlike.max_abs) == (255, (130,), None)


def _quarter(array: Array, at: int) -> tuple[Array, Place]:
    return columns(array, -1, 4, at) if array.ndim == 3 else (array, Place())


def test_one_bit_of_one_rank_is_named(tmp_path: Path) -> None:
    ranks = tp_traces(4)
    ranks[2] = changed(ranks[2], "model.layers.1.input_layernorm", one_ulp)
    trace = stored(ranks, tmp_path)
    (key,) = trace.unlike_replicas
    unlike = trace.unlike_replicas[key]
    assert (key, unlike.groups, unlike.count) == ("model.layers.1.input_layernorm", ((0, 1, 3), (2,)), 1)
    assert unlike.max_abs is not None
    assert 0 < unlike.max_abs < 1e-6
    np.testing.assert_array_equal(trace[key], WHOLE_TRACE[key])


def test_replicas_with_the_same_checksum_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[Path, str]] = []
    original = ArrayFile.read

    def noted(file: ArrayFile, place: StoredArray, index: Index = ()) -> Array:
        read.append((file.path, place.name))
        return original(file, place, index)

    traces = tp_traces(3)
    traces[2] = changed(traces[2], "model.norm", lambda array: array[:, ::-1].copy())
    paths = written(traces, tmp_path)
    monkeypatch.setattr(ArrayFile, "read", noted)
    both = merged_trace(gathered_from(paths), ComparedReplicas())
    write_trace(both.trace, tmp_path / "run.npz")
    assert list(both.trace.unlike_replicas) == ["model.norm"]
    of = {path for path, name in read if name.startswith("model.layers.0.input_layernorm")}
    assert of == {paths[0]}
    assert {path for path, name in read if name.startswith("model.norm")} == set(paths)


def test_statistics_of_many_ranks_are_put_together_with_one_file_open(tmp_path: Path) -> None:
    count = 64
    whole = np.random.default_rng(1).standard_normal((1, 3, 2 * count), np.float32)
    for rank in range(count):
        place = Place((Shard(2, count, rank, 2 * count, ((2 * rank, 2 * rank + 2),)),))
        parts = {"a.q_proj": (whole[..., 2 * rank : 2 * rank + 2], place), "a.norm": (whole, Place())}
        records = [
            Record(number, site, array.shape, "float32", 1, place=at)
            for number, (site, (array, at)) in enumerate(parts.items())
        ]
        values = [StatisticsValue(array.shape, "float32", of_array(array)) for array, _ in parts.values()]
        run = RunInfo(parallel=Parallel(count, rank, {"tp": count}, {"tp": rank}))
        write_trace(Trace(run, (), records, values, {}), tmp_path / f"rank{rank:03}.npz")
    before = len(list(Path("/proc/self/fd").iterdir()))
    gathered = gathered_from(sorted(tmp_path.iterdir()))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
    # What all of them have is kept once.
    assert [len(list(parts.holders)) for parts in gathered.parts.values()] == [count, 1]
    both = merged_trace(gathered, ComparedReplicas())
    assert both.misfits == ()
    for record, value in zip(both.trace.records, both.trace.values, strict=True):
        expected, made = of_array(whole), value.statistics()
        assert (record.shape, made.numel, made.min, made.max, made.zeros) == (
            whole.shape,
            expected.numel,
            expected.min,
            expected.max,
            expected.zeros,
        )
        assert made.l2 == pytest.approx(expected.l2, rel=1e-12)


def test_most_ranks_are_believed_and_bits_that_statistics_hide_are_seen(tmp_path: Path) -> None:
    """The lowest rank differs; and two elements that changed places have the same statistics."""
    ranks = tp_traces(4)
    ranks[0] = changed(ranks[0], "model.norm", one_ulp)
    ranks[3] = changed(ranks[3], "model.layers.0", lambda array: array[:, :, ::-1].copy())
    trace = stored(ranks, tmp_path)
    assert {key: each.groups for key, each in trace.unlike_replicas.items()} == {
        "model.norm": ((1, 2, 3), (0,)),
        "model.layers.0": ((0, 1, 2), (3,)),
    }
    assert_is_whole(trace, sums=(".experts.",))


def test_replicas_within_rounding_are_alike_where_that_is_asked_for(tmp_path: Path) -> None:
    ranks = tp_traces(2)
    ranks[1] = changed(
        changed(ranks[1], "model.norm", one_ulp), "model.layers.0", lambda array: array * np.float32(1.1)
    )
    both = merged_trace(gathered_from(written(ranks, tmp_path)), ComparedReplicas(lambda dtype: 2e-5))
    assert set(both.trace.unlike_replicas) == {"model.layers.0"}


def test_nan_of_one_replica_is_infinitely_far(tmp_path: Path) -> None:
    ranks = tp_traces(2)

    def with_nan(array: Array) -> Array:
        array[0, 0, 0] = np.nan
        return array

    ranks[1] = changed(ranks[1], "model.norm", with_nan)
    assert stored(ranks, tmp_path).unlike_replicas["model.norm"] == UnlikeReplicas(((0,), (1,)), inf, 1)


def test_without_reading_values_the_files_statistics_tell(tmp_path: Path) -> None:
    ranks = tp_traces(2)
    ranks[1] = changed(ranks[1], "model.norm", one_ulp)
    both = merged_trace(gathered_from(written(ranks, tmp_path)), TakenReplicas())
    assert both.trace.unlike_replicas == {"model.norm": UnlikeReplicas(((0,), (1,)))}


def test_a_nan_of_one_rank_is_in_its_columns(tmp_path: Path) -> None:
    ranks = tp_traces(4)

    def with_nan(array: Array) -> Array:
        array[..., 3] = np.nan
        return array

    site = "model.layers.0.self_attn.q_proj"
    ranks[1] = changed(ranks[1], site, with_nan)
    trace = stored(ranks, tmp_path)
    assert np.flatnonzero(np.isnan(trace[site][0, 0])).tolist() == [7]
    piece = trace.pieces[site][1]
    assert (piece.rank, piece.place.shards[0].whole_index(3)) == (1, 7)


def _ranked(parallel: Parallel, arrays: dict[str, Array], cut: Callable[[Array], tuple[Array, Place]]) -> Trace:
    return rank_trace(arrays, parallel, lambda _, array: cut(array))


def _misfits(traces: Sequence[Trace], folder: Path) -> list[str]:
    return [str(misfit) for misfit in merged(traces, folder).misfits]


def _replaced(trace: Trace, site: str, place: Place) -> Trace:
    records = tuple(replace(each, place=place) if each.site == site else each for each in trace.records)
    return replace(trace, records=records)


def _without(trace: Trace, site: str) -> Trace:
    kept = [place for place, record in enumerate(trace.records) if record.site != site]
    records = tuple(replace(trace.records[place], index=index, inputs=()) for index, place in enumerate(kept))
    return replace(trace, records=records, values=tuple(trace.values[place] for place in kept))


def test_parts_that_dont_add_up_are_named(tmp_path: Path) -> None:
    site, expert = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.experts.3"
    first, second = tp_traces(2)
    again = Place((Shard(2, 2, 1, 16, ((0, 8),)),))
    overlapping = Place((Shard(2, 2, 1, 16, ((4, 12),)),))
    whole = f"{site}: rank 0 has the place 1 of 2 along dimension 2, rank 1 whole"
    missing = f"{site}: of 16 along dimension 2 8:16 is missing; rank 0 has 0:8"
    for changed_second, said in [
        (_without(second, site), missing),
        (_replaced(second, site, again), missing),
        (_replaced(second, site, overlapping), f"{site}: of 16 along dimension 2 4:8 is there twice; rank 0 has 0:8, "),
        (_replaced(second, site, Place()), whole),
        (_without(second, expert), f"{expert}: is a sum of 2 parts, of which 1 are missing: that of tp 1"),
    ]:
        (misfit,) = _misfits([first, changed_second], tmp_path)
        assert misfit.startswith(said), misfit


def test_shapes_and_dtypes_that_no_place_explains_are_named(tmp_path: Path) -> None:
    first, second = tp_traces(2)
    narrow = changed(second, "model.norm", lambda array: array[:, :3])
    narrow = replace(
        narrow, records=tuple(replace(r, shape=v.shape) for r, v in zip(narrow.records, narrow.values, strict=True))
    )
    assert _misfits([first, narrow], tmp_path) == ["model.norm: rank 0 has the shape [1, 5, 16], rank 1 [1, 3, 16]"]
    half = changed(second, "model.norm", lambda array: array.astype(np.float16))
    half = replace(
        half, records=tuple(replace(r, dtype=v.dtype) for r, v in zip(half.records, half.values, strict=True))
    )
    assert _misfits([first, half], tmp_path) == ["model.norm: rank 0 has the dtype float32, rank 1 float16"]


def test_ranks_that_are_missing_or_of_other_runs_are_named(tmp_path: Path) -> None:
    ranks = tp_traces(4)
    assert "the file of rank 2 is missing" in _misfits([*ranks[:2], ranks[3]], tmp_path)[0]
    other = replace(ranks[1], tokens=((),))
    assert _misfits([ranks[0], other], tmp_path)[0].startswith("ranks 0 and 1 ran other tokens")
    pair = [ranks[0], replace(ranks[1], run=replace(ranks[1].run, parallel=Parallel(2, 1, {"tp": 2}, {"tp": 1})))]
    assert _misfits(pair, tmp_path)[0] == "files of other runs are among them: of 2 and of 4 ranks"


def test_a_rank_without_its_mesh_is_not_all(tmp_path: Path) -> None:
    alone = rank_trace({"model.norm": np.ones((1, 5))}, Parallel(2, 0), lambda _, array: (array, Place()))
    assert _misfits([alone], tmp_path) == ["the file of rank 1 is missing"]


def test_one_replica_of_a_mesh_makes_a_trace_that_says_so(tmp_path: Path) -> None:
    ranks = [
        rank_trace(sites(), each, tensor_parallel(2, each.coordinates["tp"])) for each in ranks_of({"dp": 2, "tp": 2})
    ]
    trace = stored(ranks[2:], tmp_path)
    assert_is_whole(trace, sums=(".experts.",))
    assert trace.run.notes == ("merged from 2 of 4 ranks: 2, 3",)


def test_a_choice_that_no_rank_has_is_an_error(tmp_path: Path) -> None:
    from tracetui.errors import InputError

    ranks = [rank_trace(sites(), each, expert_parallel(2, at)) for at, each in enumerate(ranks_of({"ep": 2}))]
    site = "model.layers.0.mlp:experts"
    ranks[1] = changed(ranks[1], site, lambda array: np.full_like(array, -1))
    with pytest.raises(InputError, match=f"{site}: .* choices are on no rank"):
        merged(ranks, tmp_path).trace[site]


def test_partial_sums_of_bfloat16_are_rounded_to_it(tmp_path: Path) -> None:
    ranks = []
    whole = np.array([[1.0, 3.0, -2.5]], np.float32)
    for at, each in enumerate(ranks_of({"tp": 2})):
        trace = _ranked(each, {"a.experts.0": whole}, partial(addend, of=2, at=at))
        part = (np.float32(1), np.float32(2**-9))[at] * np.ones_like(whole)
        records = tuple(replace(record, dtype="bfloat16") for record in trace.records)
        ranks.append(replace(trace, records=records, values=(ArrayValue(part, "bfloat16"),)))
    assert merged(ranks, tmp_path).trace["a.experts.0"].tolist() == [[1.0, 1.0, 1.0]]


def test_what_is_in_a_file_says_whose_it_is(tmp_path: Path) -> None:
    ranks = tp_traces(2)
    ranks[1] = changed(ranks[1], "model.norm", one_ulp)
    count = len(stored(ranks, tmp_path).pieces)
    assert f"ranks      all 2  tp 2  {count} records put together  replicas differ at 1" in (
        describe(read_trace(tmp_path / "run.npz"), 1000)
    )
    assert f"ranks      1 of 2  tp 1 of 2  {count} records are parts" in describe(ranks[1], 1000)
    assert not any(line.startswith("ranks") for line in describe(WHOLE_TRACE, 1000))


def test_a_merged_file_says_what_it_said(tmp_path: Path) -> None:
    ranks = tp_traces(2)
    ranks[1] = changed(ranks[1], "model.norm", one_ulp)
    both = merged(ranks, tmp_path).trace
    for value in both.values:
        value.read()
    write_trace(both, tmp_path / "a.npz")
    back = read_trace(tmp_path / "a.npz")
    assert (dict(back.pieces), dict(back.unlike_replicas)) == (dict(both.pieces), dict(both.unlike_replicas))
    for one, other in zip(back.values, both.values, strict=True):
        assert_same_value(one, other)
