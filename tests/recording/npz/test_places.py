"""What a file says of ranks and of parts of tensors: checked before anybody is told it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recording.made import small_trace
from tracetui.errors import InputError
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.npz.decode import decode_header, decode_timing
from tracetui.recording.npz.names import HEADER, TIMING
from tracetui.recording.parallel import WHOLE, Parallel, Place, RankPiece, Shard, UnlikeReplicas, shard
from tracetui.recording.table import COLUMNS, rows
from tracetui.recording.trace import Trace

HALF = shard(2, of=2, at=1, offset=16, length=16, size=32)
Change = Callable[[dict[str, Any]], None]


def ranked() -> Trace:
    """The small trace as if rank 1 of 2 had recorded it."""
    trace = small_trace()
    parallel = Parallel(2, 1, {"tp": 2, "fsdp": 1}, {"tp": 1, "fsdp": 0})
    places = (HALF, Place(partial=("tp",)), Place(experts=(4, 4)), WHOLE, WHOLE, WHOLE)
    records = tuple(replace(record, place=place) for record, place in zip(trace.records, places, strict=True))
    return replace(trace, run=replace(trace.run, parallel=parallel), records=records)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    path = tmp_path_factory.mktemp("ranks") / "rank1.npz"
    write_trace(ranked(), path)
    with np.load(path, allow_pickle=False) as file:
        return bytes(file[HEADER]), bytes(file[TIMING])


def test_a_rank_and_its_parts_come_back(tmp_path: Path) -> None:
    write_trace(ranked(), tmp_path / "rank1.npz")
    back = read_trace(tmp_path / "rank1.npz")
    assert back.run.parallel == ranked().run.parallel
    assert [record.place for record in back.records] == [record.place for record in ranked().records]


def test_a_file_of_one_process_says_nothing_of_ranks(tmp_path: Path) -> None:
    write_trace(small_trace(), tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as file:
        header = json.loads(bytes(file[HEADER]))
    assert "parallel" not in header["run"]
    assert "places" not in header
    assert not any("place" in record for record in header["records"])
    assert read_trace(tmp_path / "t.npz").run.parallel is None


def test_an_index_of_a_packed_part_is_one_of_the_whole() -> None:
    part = Shard(1, of=2, at=1, size=16, ranges=((4, 8), (12, 16)))
    assert [part.whole_index(index) for index in (0, 3, 4, 7)] == [4, 7, 12, 15]
    for index in (-1, 8):
        with pytest.raises(IndexError):
            part.whole_index(index)


def test_a_merged_trace_says_who_had_what(documents: tuple[bytes, bytes]) -> None:
    header = json.loads(documents[0])
    header["run"]["parallel"] |= {"rank": None, "coordinates": {}}
    header |= {
        "pieces": {"a": [[0, 0], [1, 2]]},
        "unlike_replicas": {"b": {"groups": [[1], [0]], "max_abs": "Infinity"}},
    }
    found = decode_header(json.dumps(header).encode(), "t", decode_timing(documents[1], "t"))
    assert found.pieces["a"] == (RankPiece(0, HALF), RankPiece(1, Place(experts=(4, 4))))
    assert found.unlike_replicas["b"] == UnlikeReplicas(((1,), (0,)), math.inf)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("pieces", [[2, 0]], r"pieces\.a\[0\]\[0\]: must be a whole number from 0 to 1, got 2"),
        ("pieces", [[0, 3]], r"pieces\.a\[0\]\[1\]: must be a whole number from 0 to 2, got 3"),
        ("pieces", [[0]], r"pieces\.a\[0\]: must be a list of 2 whole numbers"),
        (
            "unlike_replicas",
            {"groups": [[0], [2]]},
            r"unlike_replicas\.a\.groups\[1\]\[0\]: must be .* from 0 to 1, got 2",
        ),
        ("unlike_replicas", {"groups": [[0]]}, r"unlike_replicas\.a\.groups: must be two groups of ranks or more"),
        ("unlike_replicas", {"groups": [[0], []]}, r"unlike_replicas\.a\.groups: must be two groups of ranks or more"),
    ],
)
def test_pieces_of_no_rank_are_refused(documents: tuple[bytes, bytes], field: str, value: object, said: str) -> None:
    header = json.loads(documents[0])
    header[field] = {"a": value}
    with pytest.raises(InputError, match=said):
        decode_header(json.dumps(header).encode(), "t", decode_timing(documents[1], "t"))


def test_a_table_says_that_statistics_are_of_a_part() -> None:
    places = [dict(zip(COLUMNS, row, strict=True))["place"] for row in rows(ranked())]
    part = "16:32 of 32 along dimension 2"
    assert places == [part, "partial sum", "choices of 4 experts from 4", None, None, None]


def _shard(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["places"][0]["shards"][0]
    return found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["run"]["parallel"].update(rank=2), r"run\.parallel\.rank: must be a whole number from 0 to 1"),
        (lambda d: d["run"]["parallel"].update(world=0), r"run\.parallel\.world: must be a whole number from 1"),
        (lambda d: d["run"]["parallel"]["mesh"].update(tp=3), r"run\.parallel\.mesh\.tp: must be .* 1 to 2, got 3"),
        (lambda d: d["run"]["parallel"]["coordinates"].update(tp=2), r"coordinates\.tp: must be .* 0 to 1, got 2"),
        (lambda d: d["run"]["parallel"]["coordinates"].update(ep=0), r"coordinates: must be along axes .* got 'ep'"),
        (lambda d: d["run"].pop("parallel"), r"places\[1\]\.partial\[0\]: must be an axis of run\.parallel\.mesh"),
        (lambda d: d["places"][1]["partial"].append("tp"), r"places\[1\]\.partial\[1\]: must be an axis"),
        (lambda d: d["places"][2].update(experts=[4]), r"places\[2\]\.experts: must be a list of 2 whole numbers"),
        (lambda d: d["places"][2].update(experts=[4, -1]), r"places\[2\]\.experts"),
        (lambda d: d["records"][0].update(place=3), r"records\[0\]\.place: must be the number of one of the 3 places"),
        (lambda d: d.pop("places"), r"records\[0\]\.place: must be the number of one of the 0 places"),
        (lambda d: d["records"][3].update(place=0), r"records\[3\]\.shape: must be 16 long along dimension 2"),
        (lambda d: _shard(d).update(dimension=3), r"records\[0\]\.shape: must be 16 long along dimension 3"),
        (lambda d: _shard(d).update(at=2), r"places\[0\]\.shards\[0\]\.at: must be a whole number from 0 to 1, got 2"),
        (lambda d: _shard(d).update(of=0), r"places\[0\]\.shards\[0\]\.of: must be a whole number from 1"),
        (lambda d: _shard(d).update(size=31), r"shards\[0\]\.ranges\[0\]: must begin behind .* the 31 of the whole"),
        (lambda d: _shard(d).update(ranges=[[16, 24], [23, 31]]), r"shards\[0\]\.ranges\[1\]: must begin behind"),
        (lambda d: _shard(d).update(ranges=[[16, 16]]), r"shards\[0\]\.ranges\[0\]: must begin behind"),
        (lambda d: _shard(d).update(ranges=[[24, 32]]), r"records\[0\]\.shape: must be 8 long along dimension 2"),
        (lambda d: d["places"][0]["shards"].append(dict(_shard(d))), r"shards: must cut each dimension once"),
    ],
)
def test_parts_that_go_with_nothing_are_refused(documents: tuple[bytes, bytes], change: Change, said: str) -> None:
    header = json.loads(documents[0])
    change(header)
    with pytest.raises(InputError, match=rf"t: .*{said}"):
        decode_header(json.dumps(header).encode(), "t", decode_timing(documents[1], "t"))
