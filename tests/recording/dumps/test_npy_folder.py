"""A folder of npy files as a recording."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.analysis.diff.made import trace_of
from tests.cli.running import Here
from tracetui.analysis.diff.report import report
from tracetui.errors import FileChangedError, InputError
from tracetui.recording.dumps import open_recorded


def kept(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    for name, array in arrays.items():
        path = folder / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
    return folder


def test_each_file_is_a_tensor_under_its_own_name(tmp_path: Path) -> None:
    arrays = {f"model.layers.{n}.mlp": np.full((2, 3), n, np.float32) for n in (10, 2)} | {"blk/0/Q": np.ones(4)}
    trace = open_recorded(kept(tmp_path, arrays))
    assert [record.site for record in trace.records] == ["blk/0/Q", "model.layers.2.mlp", "model.layers.10.mlp"]
    for record, value in zip(trace.records, trace.values, strict=True):
        assert np.array_equal(value.read(), arrays[record.site])
    found = report(trace, trace_of(arrays))
    assert found.comparison.same
    assert found.comparison.compared == 3


def test_numbers_before_all_names_are_the_order_of_execution(tmp_path: Path) -> None:
    kept(tmp_path, {f"{n}_{name}": np.ones(2) for n, name in [(10, "logits"), (9, "norm"), (1, "wte")]})
    assert [record.site for record in open_recorded(tmp_path).records] == ["wte", "norm", "logits"]
    kept(tmp_path, {"10_norm": np.ones(2)})
    assert [record.site for record in open_recorded(tmp_path).records] == ["1_wte", "9_norm", "10_logits", "10_norm"]


def test_files_may_be_more_than_can_be_open(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    kept(tmp_path, {f"site.{n}": np.ones(1) for n in range(80)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    try:
        values = open_recorded(tmp_path).values
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sum(value.read().size for value in values) == 80


def test_a_file_that_changes_or_goes_is_told(tmp_path: Path) -> None:
    trace = open_recorded(kept(tmp_path, {"a": np.ones(2), "b": np.ones(2)}))
    np.save(tmp_path / "a.npy", np.zeros(2))
    (tmp_path / "b.npy").unlink()
    one, other = trace.values
    with pytest.raises(FileChangedError):
        one.read()
    with pytest.raises(InputError, match=r"b\.npy: can't be opened: No such file"):
        other.read()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    kept(tmp_path, {"a": np.ones(2)})
    (tmp_path / "b.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match=r"b\.npy: is too small for an array"):
        open_recorded(tmp_path)


def test_info_counts_the_files_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(tmp_path, {"a": np.ones(128, np.float32), "b": np.ones(128, np.float32)})
    said = Here(monkeypatch, capsys)("info", str(tmp_path))
    assert said.status == 0
    assert "size       1.25 KiB, of which values 1.00 KiB" in said.out


def test_the_documented_function_in_c_writes_one(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    text = (Path(__file__).parents[3] / "docs" / "diff.md").read_text(encoding="utf-8")
    call = 'float values[6] = {0, 1, 2, 3, 4, 5};\nreturn save_npy("a.npy", values, 6, "(2, 3)");'
    (tmp_path / "save.c").write_text(f"{text.split('```c')[1].split('```')[0]}\nint main(void)\n{{\n{call}\n}}\n")
    subprocess.run([compiler, "-Wall", "-Werror", "-o", "save", "save.c"], cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "save"], cwd=tmp_path, check=True)
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.arange(6, dtype=np.float32).reshape(2, 3))
