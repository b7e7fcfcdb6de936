"""CRC-32 by compiled code: zlib's, whatever the length and whatever came before."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from tracetui.native import checksum
from tracetui.native.checksum import crc32


@pytest.mark.parametrize("size", [0, 1, 15, 16, 63, 64, 65, 79, 80, 127, 128, 129, 1000, 4096 + 7])
def test_it_is_that_of_zlib(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum, "_FEW", 0)
    content = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    for before in (0, 1, 0xDEADBEEF, 0xFFFFFFFF):
        assert crc32(content.data, before) == zlib.crc32(content.tobytes(), before)
    content.flags.writeable = False
    assert crc32(content.data) == zlib.crc32(content.tobytes())
    assert crc32(content.tobytes()) == zlib.crc32(content.tobytes())


def test_parts_follow_each_other() -> None:
    content = np.random.default_rng(0).integers(0, 256, 100_003, dtype=np.uint8)
    assert crc32(content[50_001:].data, crc32(content[:50_001].data)) == zlib.crc32(content.tobytes())
    assert crc32(content[::2].copy().data) == zlib.crc32(content[::2].copy().tobytes())
