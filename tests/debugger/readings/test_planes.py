"""Which matrix of a tensor is on view."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ui.tiny_llama import CONFIG, PROMPT, empty_recorder, forward
from tracetui.analysis.axes import Axis
from tracetui.debugger.readings.planes import Plane, place_of, plane_of
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue

ALL = slice(0, 1 << 30)


@pytest.fixture(scope="module")
def trace() -> Trace:
    recorder = empty_recorder(PROMPT, PROMPT)
    list(forward(recorder))
    return recorder.trace


def whole(trace: Trace, key: str, head: int, batch: int) -> tuple[Plane, Array]:
    record = trace.find(key)
    assert record is not None
    plane = plane_of(record, CONFIG, head, batch)
    rows, columns = plane.shape
    return plane, plane.read(trace.value(record), slice(0, rows), slice(0, columns))


def test_a_head_of_q_is_the_same_seen_before_and_after_the_split(trace: Trace) -> None:
    """q_proj's output [B,T,H·K] by head equals the kernel's q [B,H,T,K]; this model has no RoPE."""
    for head in range(4):
        for batch in range(2):
            before, one = whole(trace, "model.layers.0.self_attn.q_proj", head, batch)
            after, other = whole(trace, "model.layers.0.self_attn:q", head, batch)
            assert np.array_equal(one, other)
            assert before.where == f"[{batch}, :, {head * 8}:{head * 8 + 8}]"
            assert after.where == f"[{batch}, {head}, :, :]"


def test_a_query_head_shows_the_key_head_it_shares(trace: Trace) -> None:
    chosen = [whole(trace, "model.layers.0.self_attn:k", head, 0)[0].leading for head in range(4)]
    assert chosen == [(0, 0), (0, 0), (0, 1), (0, 1)]
    assert "(heads 2–3)" in whole(trace, "model.layers.0.self_attn:k", 3, 0)[0].note


def test_a_part_is_the_part(trace: Trace) -> None:
    record = trace.find("model.layers.0.self_attn.q_proj")
    assert record is not None
    plane = plane_of(record, CONFIG, 2, 1)
    part = plane.read(trace.value(record), slice(3, 9), slice(2, 5))
    assert np.array_equal(part, trace[record.key][1, 3:9, 18:21])


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4), (2, 3, 4, 5), (2, 2, 2, 3, 4)])
def test_any_rank_has_a_matrix(shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    record = Record(0, "own.thing", shape, "float32", 1)
    plane = plane_of(record, {}, head=7, batch=7)
    rows, columns = plane.shape
    read = plane.read(ArrayValue(array), slice(0, rows), slice(0, columns))
    index = tuple(length - 1 for length in shape[:1]) if len(shape) == 3 else None
    assert read.shape == plane.shape
    assert set(read.flat) <= set(array.flat)
    if index:
        assert np.array_equal(read, array[index])


def test_of_complex_numbers_the_magnitudes_are_shown() -> None:
    plane = plane_of(Record(0, "freqs", (1, 2), "complex64", 0), {}, head=0, batch=0)
    read = plane.read(ArrayValue(np.array([[3 + 4j, -1j]], np.complex64)), slice(0, 1), slice(0, 2))
    assert (read.dtype.kind, read.tolist()) == ("f", [[5.0, 1.0]])


def test_a_flat_tensor_reads_its_columns() -> None:
    plane = Plane(Axis("", 1), Axis("d0", 9), rank=1)
    assert plane.read(ArrayValue(np.arange(9.0)), slice(0, 1), slice(3, 5)).tolist() == [[3.0, 4.0]]
    assert plane.where == "[:]"


@pytest.mark.parametrize(
    "key", ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn:q", "model.layers.0.self_attn:k", "logits"]
)
def test_any_element_has_a_place_in_view(trace: Trace, key: str) -> None:
    record = trace.find(key)
    assert record is not None
    values = trace[key]
    for number in range(0, values.size, 7):
        element = tuple(int(at) for at in np.unravel_index(number, values.shape))
        place = place_of(record, CONFIG, element, 0, 0)
        plane = plane_of(record, CONFIG, place.head, place.batch)
        cell = plane.read(trace.value(record), slice(place.row, place.row + 1), slice(place.column, place.column + 1))
        assert cell[0, 0] == values[element]
