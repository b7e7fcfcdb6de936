"""The compiled statistics: right on any array, the same bits on any processor, and no loss where there are none."""

from __future__ import annotations

import ctypes
import platform
import shutil
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import hatch_build
from tests.native.sources import SOURCES
from tracetui.native import library
from tracetui.native.statistics import KINDS, _add_statistics, finder, first_not_finite, sums_of
from tracetui.recording import statistics
from tracetui.recording.statistics import by_numpy, of_array

needs_library = pytest.mark.skipif(library.library() is None, reason="this installation has no compiled code")
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no compiler")


@pytest.fixture
def fresh() -> Iterator[None]:
    """The library is looked for anew, and again afterwards."""
    library.library.cache_clear()
    yield
    library.library.cache_clear()


def arrays() -> dict[str, npt.NDArray[np.generic]]:
    """Lengths around a block and around its lanes, far from zero, with what isn't finite at either end."""
    random = np.random.default_rng(0)
    noise = {f"noise {count}": random.standard_normal(count) for count in (1, 7, 8, 511, 512, 513, 1024, 4099)}
    spoilt = random.standard_normal(1536)
    spoilt[[0, 511, 700, 1535]] = np.nan, np.inf, -np.inf, np.nan
    return {
        **noise,
        "far": 1e6 + 1e-3 * random.standard_normal(5000),
        "an outlier first": np.concatenate([[1e8], 1e-4 * random.standard_normal(2000)]),
        "constant": np.full(3000, -7.25),
        "zeros": np.where(random.random(3000) < 0.3, -0.0, random.standard_normal(3000)),
        "spoilt": spoilt,
        "spoilt wholly": np.full(1200, np.nan),
        "huge and tiny": np.array([1e200, -1e-200, 3.0]),
        "tiny": 1e-200 * random.standard_normal(600),
    }


@needs_library
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", arrays())
def test_they_are_those_of_numpy(name: str, dtype: type[np.floating]) -> None:
    with np.errstate(over="ignore"):
        array = arrays()[name].astype(dtype)
    fast, exact = of_array(array), by_numpy(array)
    counts = ("numel", "nan", "posinf", "neginf", "zeros")
    assert [getattr(fast, count) for count in counts] == [getattr(exact, count) for count in counts]
    for field in ("min", "max"):
        assert getattr(fast, field) == pytest.approx(getattr(exact, field), rel=0, nan_ok=True)
    # Where all of them stand far from zero the reference itself has few digits of the spread.
    for field in ("l2", "mean", "std"):
        assert getattr(fast, field) == pytest.approx(getattr(exact, field), rel=1e-9, abs=1e-300, nan_ok=True), field


@needs_library
def test_other_layouts_and_byte_orders_are_read_as_they_are() -> None:
    whole = np.random.default_rng(1).standard_normal((30, 40, 5)).astype(np.float32)
    swapped = whole.astype(whole.dtype.newbyteorder())
    for other in (whole.T, whole[:, ::2], whole[..., 3], whole[::-1], swapped, np.asfortranarray(whole)):
        assert of_array(other).l2 == pytest.approx(float(np.linalg.norm(other.astype(np.float64))), rel=1e-9)


@needs_library
def test_every_processor_computes_the_same_bits(narrow: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    """With registers of 16, 32 bytes, against the widest that are here."""
    bits = np.random.default_rng(2).integers(0, 2**16, 4 * 5000, dtype=np.uint16)
    kinds = zip((4, 8, 2, 2), KINDS.values(), strict=True)
    rows = array("q", [number for size, kind in kinds for number in (bits.ctypes.data, bits.nbytes // size, kind)])
    with monkeypatch.context() as patch:
        patch.setattr("tracetui.native.statistics.library", lambda: narrow)
        for made in (_add_statistics, finder):
            patch.setattr(f"tracetui.native.statistics.{made.__name__}", made.__wrapped__)
        expected, found = sums_of(rows), first_not_finite(rows)
    # As text: NaN is like NaN.
    assert expected is not None
    assert repr(expected) == repr(sums_of(rows))
    assert found == first_not_finite(rows) == 0


@needs_library
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_first_row_with_anything_that_is_not_finite_is_found(dtype: type[np.floating]) -> None:
    largest, least = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    sound = [np.resize(np.array([largest, -largest, 0, -0.0, least, 1], dtype), count) for count in (0, 1, 7, 4099)]
    assert _first(sound) == len(sound)
    for length, place in ((1, 0), (8, 7), (4096, 4095), (9001, 8999)):
        for bad in (np.nan, -np.nan, np.inf, -np.inf):
            spoilt = np.zeros(length, dtype)
            spoilt[place] = bad
            assert _first([*sound, spoilt, *sound]) == len(sound), (length, place, bad)


def _first(arrays: Sequence[npt.NDArray[np.floating]]) -> int | None:
    rows = [number for each in arrays for number in (each.ctypes.data, each.size, KINDS[each.dtype.name])]
    return first_not_finite(array("q", rows))


def test_without_the_library_numpy_does_it(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.SWITCH, "0")
    assert library.library() is None
    monkeypatch.setattr("tracetui.native.statistics._add_statistics", lambda: None)
    whole = np.arange(9.0)
    assert statistics.of_array(whole) == by_numpy(whole)


@pytest.mark.parametrize("content", [b"", b"\x7fELF of another processor"])
def test_a_library_that_cannot_be_loaded_is_none(
    fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "broken.so").write_bytes(content)
    monkeypatch.setattr(library, "PATH", tmp_path / "broken.so")
    assert library.library() is None


@needs_compiler
@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have registers of one width")
def test_the_widest_registers_that_the_processor_has_are_used(tmp_path: Path) -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        pytest.skip("nobody else tells what the processor has")
    source, built = tmp_path / "width.c", tmp_path / "width.so"
    source.write_text(f'#include "{SOURCES[0].parent / "rows.h"}"\nint width(void) {{ return register_width(); }}')
    assert hatch_build.compile_native([source], built)
    flags = set(next(line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")).split())
    expected = 64 if {"avx512f", "avx512dq", "avx512bw", "avx512vl"} <= flags else 32
    assert ctypes.CDLL(str(built)).width() == (expected if {"avx2", "fma", "f16c"} <= flags else 16)


@needs_compiler
def test_another_versions_library_is_none(fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source, built = tmp_path / "other.c", tmp_path / "other.so"
    source.write_text("int tracetui_interface(void) { return 0; }")
    assert hatch_build.compile_native([source], built)
    monkeypatch.setattr(library, "PATH", built)
    assert library.library() is None


def test_where_nothing_compiles_the_package_is_built_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", "false")
    assert not hatch_build.compile_native(SOURCES, tmp_path / "none.so")
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not hatch_build.compile_native(SOURCES, tmp_path / "none.so")
