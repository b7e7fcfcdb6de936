"""Parts of an array in a file: what numpy gives for the same index, read from no more than the bytes around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracetui.recording.npz import part
from tracetui.recording.npz.part import read_part
from tracetui.recording.value import Index

_AXIS = st.one_of(
    st.slices(7),
    st.integers(-2, 1),
)


class Bytes:
    """A file in memory that counts what is read of it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.read = 0

    def into(self, buffer: memoryview, offset: int) -> None:
        buffer[:] = self.content[offset : offset + len(buffer)]
        self.read += len(buffer)


@given(
    shape=st.lists(st.integers(2, 7), max_size=4),
    index=st.lists(_AXIS, max_size=4),
    dtype=st.sampled_from(["<f4", ">i2", "<c8", "?"]),
    at_once=st.sampled_from([0, 16, 2**18]),
)
def test_a_part_is_what_numpy_gives_for_the_index(
    shape: Sequence[int], index: Sequence[int | slice], dtype: str, at_once: int
) -> None:
    whole = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 251).astype(dtype)
    wanted: Index = tuple(index[: len(shape)])
    before, part._AT_ONCE = part._AT_ONCE, at_once
    try:
        read = read_part(Bytes(b"head" + whole.tobytes()).into, 4, whole.dtype, shape, wanted)
    finally:
        part._AT_ONCE = before
    assert np.array_equal(read, whole[wanted])
    assert np.shape(read) == whole[wanted].shape


def test_of_a_wide_tensor_a_few_columns_are_read_and_no_whole_rows() -> None:
    whole = np.zeros((4, 2**17), np.float32)
    file = Bytes(whole.tobytes())
    read_part(file.into, 0, whole.dtype, whole.shape, (slice(None), slice(0, 10)))
    assert file.read == 4 * 10 * 4
