"""Tables and tensor files: read back by the libraries they are for, the same numbers bit for bit."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tests.cli.running import Here
from tests.recording.made import small_trace
from tracetui.errors import RunError
from tracetui.export.tensors import write_safetensors
from tracetui.recording.dumps import open_recorded
from tracetui.recording.npz import write_trace
from tracetui.recording.record import Record
from tracetui.recording.table import COLUMNS
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Array, ArrayValue


@pytest.fixture
def tracetui(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture
def file(tmp_path: Path) -> str:
    write_trace(small_trace(), tmp_path / "t.npz")
    return str(tmp_path / "t.npz")


def of(arrays: dict[str, tuple[Array, str | None]]) -> Trace:
    values = [ArrayValue(array, dtype) for array, dtype in arrays.values()]
    records = [Record(i, site, v.shape, v.dtype, 0) for i, (site, v) in enumerate(zip(arrays, values, strict=True))]
    return Trace(RunInfo(), (), records, values, {})


def test_the_table_has_every_record_s_statistics(tracetui: Here, file: str) -> None:
    trace = small_trace()
    found = list(csv.DictReader(io.StringIO(tracetui("export", file, "--csv").out)))
    assert list(found[0]) == list(COLUMNS)
    assert [row["key"] for row in found] == [record.key for record in trace.records]
    for row, statistics in zip(found, trace.all_statistics(), strict=True):
        assert float(row["l2"]) == statistics.l2
        assert int(row["zeros"]) == statistics.zeros
    assert [row["kept"] for row in found].count("False") == 1


def test_hostile_names_are_neither_formulas_nor_escapes(tracetui: Here, tmp_path: Path) -> None:
    ones = np.ones(2, np.float32)
    names = ('=cmd|"x"!A1', "a\x1b[2J\n,b", "＝1")
    write_trace(of(dict.fromkeys(names, (ones, None))), tmp_path / "t.npz")
    out = tracetui("export", str(tmp_path / "t.npz"), "--csv").out
    assert [row["site"] for row in csv.DictReader(io.StringIO(out))] == ['\'=cmd|"x"!A1', "a␛[2J⏎,b", "'＝1"]


def test_the_document_is_the_file_s_own_header(tracetui: Here, file: str) -> None:
    found = json.loads(tracetui("export", file, "--json").out)
    with np.load(file) as arrays:
        header = json.loads(bytes(arrays["__tracetui__"]))
    assert {**found, "records": 0} == {**header, "records": 0}
    assert [record["statistics"] for record in found["records"]] == [r["statistics"] for r in header["records"]]


def test_safetensors_has_every_kept_tensor_once(tracetui: Here, file: str, tmp_path: Path) -> None:
    output = tmp_path / "t.safetensors"
    assert tracetui("export", file, "--safetensors", "-o", str(output)).out.startswith(f"{output}: 4 tensors, ")
    trace = small_trace()
    with safe_open(output, "pt") as found:
        assert set(found.keys()) == {
            *("model.embed_tokens", "model.layers.0.self_attn:q", "model.layers.1.mlp:experts", "lm_head"),
        }
        for key in found.keys():  # noqa: SIM118
            np.testing.assert_array_equal(found.get_tensor(key).float().numpy(), trace[key])
        assert found.get_tensor("model.layers.0.self_attn:q").dtype == torch.bfloat16
        assert json.loads(found.metadata()["aliases"]) == {"logits": "lm_head"}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "int64", "uint16", "bool", "complex64"])
def test_every_kind_comes_back_through_our_own_reader(dtype: str, tmp_path: Path) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    empty, scalar = np.zeros((0, 3), dtype), np.array(3, dtype)
    path = tmp_path / "t.safetensors"
    with path.open("wb") as file:
        write_safetensors(of({"a": (array, None), "none": (empty, None), "one": (scalar, None)}), file)
    found = open_recorded(path)
    for key, expected in {"a": array, "none": empty, "one": scalar}.items():
        assert found[key].dtype == expected.dtype
        np.testing.assert_array_equal(found[key], expected)


def test_fp8_is_stored_exactly_and_its_own_dtype_named(tmp_path: Path) -> None:
    values = np.array([0.5, -448, 2**-9], np.float32)
    path = tmp_path / "t.safetensors"
    with path.open("wb") as file:
        write_safetensors(of({"a": (values, "float8_e4m3fn"), "__metadata__": (values + 1, None)}), file)
    with safe_open(path, "np") as found:
        np.testing.assert_array_equal(found.get_tensor("a"), values)
        np.testing.assert_array_equal(found.get_tensor("__metadata__~1"), values + 1)
        assert json.loads(found.metadata()["dtypes"]) == {"a": "float8_e4m3fn"}


def test_a_kind_that_safetensors_lacks_is_named(tmp_path: Path) -> None:
    with (tmp_path / "t").open("wb") as file, pytest.raises(RunError, match="a: safetensors has no complex128"):
        write_safetensors(of({"a": (np.ones(2, np.complex128), None)}), file)


@pytest.mark.parametrize(
    ("part", "index"),
    [
        ("", ()),
        ("[0]", (0,)),
        ("[0, :, 2:4]", (0, slice(None), slice(2, 4))),
        ("[-1,1::2]", (-1, slice(1, None, 2))),
        ("[0,0,0]", (0, 0, 0)),
    ],
)
def test_one_array_or_a_part_of_it(
    tracetui: Here, file: str, tmp_path: Path, part: str, index: tuple[int | slice, ...]
) -> None:
    output = tmp_path / "a.npy"
    assert tracetui("export", file, "--npy", f"model.embed_tokens{part}", "-o", str(output)).status == 0
    expected = small_trace()["model.embed_tokens"][index]
    found = np.load(output)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("site", "problem"),
    [
        ("model.embed", "has no 'model.embed'; near are model.embed_tokens"),
        ("zzz", "`tracetui info` lists sites"),
        ("model.layers.1", "only its statistics were kept"),
        ("logits[5]", "axis 0 of logits has 1 places, not 5"),
        ("logits[0,0,0,0]", "has 4 parts, the shape is [1, 40, 32]"),
        ("logits[a]", "must be places and ranges like [0, :, 2:4], got 'a'"),
        ("logits[]", "got ''"),
        ("logits[0::0]", "got '0::0'"),
        ("\x1b[31m", "has no '␛[31m'"),
    ],
)
def test_a_site_that_can_t_be_had_is_refused(
    tracetui: Here, file: str, tmp_path: Path, site: str, problem: str
) -> None:
    assert problem in tracetui.refused("export", file, "--npy", site, "-o", str(tmp_path / "a.npy"))
    assert not (tmp_path / "a.npy").exists()


def test_the_file_that_is_read_is_never_written_over(tracetui: Here, file: str, tmp_path: Path) -> None:
    before = Path(file).read_bytes()
    (tmp_path / "link.npz").symlink_to(file)
    for output in (file, str(tmp_path / "link.npz")):
        assert "is the file that is read" in tracetui.refused("export", file, "--safetensors", "-o", output)
    assert Path(file).read_bytes() == before


def test_what_can_t_be_asked_for_is_refused(tracetui: Here, file: str, tmp_path: Path) -> None:
    assert "say with -o" in tracetui.refused("export", file, "--safetensors")
    assert "required" in tracetui.refused("export", file)
    assert "not allowed with" in tracetui.refused("export", file, "--csv", "--json")
    assert "nowhere.npz" in tracetui.refused("export", "nowhere.npz", "--csv")
    assert "is a folder" in tracetui.refused("export", file, "--csv", "-o", str(tmp_path))
    assert "doesn't exist" in tracetui.refused("export", file, "--csv", "-o", str(tmp_path / "no" / "a.csv"))


def test_a_failure_while_writing_leaves_the_old_file(tracetui: Here, tmp_path: Path) -> None:
    write_trace(of({"a": (np.ones(2, np.complex128), None)}), tmp_path / "t.npz")
    (tmp_path / "old.safetensors").write_text("old")
    said = tracetui("export", str(tmp_path / "t.npz"), "--safetensors", "-o", str(tmp_path / "old.safetensors"))
    assert said.status == 1
    assert "complex128" in said.complaint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.safetensors", "t.npz"]
    assert (tmp_path / "old.safetensors").read_text() == "old"


def test_tables_go_into_a_file_too(tracetui: Here, file: str, tmp_path: Path) -> None:
    said = tracetui("export", file, "--csv", "-o", str(tmp_path / "a.csv"))
    assert said.out.startswith(f"{tmp_path / 'a.csv'}: 6 records, ")
    assert (tmp_path / "a.csv").read_text() == tracetui("export", file, "--csv").out


def test_two_records_of_one_key_both_come_along(tmp_path: Path) -> None:
    once = of({"a": (np.zeros(2, np.float32), None), "b": (np.ones(2, np.float32), None)})
    twice = replace(once, records=[replace(record, site="a") for record in once.records])
    path = tmp_path / "t.safetensors"
    with path.open("wb") as file:
        assert write_safetensors(twice, file) == 2
    assert [record.key for record in open_recorded(path).records] == ["a", "a~1"]
