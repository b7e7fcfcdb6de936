"""Headers of arrays as writers in other languages make them: whatever numpy reads of numbers is read, and the same."""

from __future__ import annotations

import io
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracetui.errors import InputError
from tracetui.formats.npy import Head, NoNumbersError, NpyError, parse_text
from tracetui.formats.npy_text import TextError, parse_dict
from tracetui.recording.dumps import open_recorded

VALUES = np.arange(6, dtype="<f4").reshape(2, 3)
WRITERS = {
    "numpy": "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" + " " * 61 + "\n",
    "C++ (cnpy)": "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }      \n",
    "C++, no spaces": "{'descr':'<f4','fortran_order':False,'shape':(2,3)}\n",
    "Rust": "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\n",
    "Rust, trailing comma in the shape": "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3,)}\n",
    "Go": "{'descr': '<f4', 'fortran_order': False, 'shape': (2,3), }",
    "Julia": "{'descr': '<f4', 'fortran_order': False, 'shape': (2,3)}       \n",
    "JavaScript": '{"descr": "<f4", "fortran_order": False, "shape": (2, 3)}\n',
    "order": "{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}\n",
    "Python 2": "{u'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }\n",
    "lines": "{\n  'descr': '<f4',\n\t'fortran_order': False,\n  'shape': ( 2 , 3 ) ,\n}\n\n",
    "native": "{'descr': 'f4', 'fortran_order': False, 'shape': (2, 3), }\n",
    "by name": "{'descr': 'float32', 'fortran_order': False, 'shape': (2, 3), }\n",
}


def npy(text: str | bytes, content: bytes = VALUES.tobytes(), version: tuple[int, int] = (1, 0)) -> bytes:
    encoded = text.encode("utf-8") if isinstance(text, str) else text
    length = struct.pack("<H" if version == (1, 0) else "<I", len(encoded))
    return b"\x93NUMPY" + bytes(version) + length + encoded + content


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_other_languages_write_is_read_as_numpy_reads_it(tmp_path: Path, method: int) -> None:
    members = {f"a.{number}.npy": npy(text) for number, text in enumerate(WRITERS.values())}
    path = zipped(tmp_path / "d.npz", members, method)
    trace = open_recorded(path)
    assert len(trace.records) == len(WRITERS)
    with np.load(path, allow_pickle=False) as expected:
        for record, writer in zip(trace.records, WRITERS, strict=True):
            np.testing.assert_array_equal(trace[record.site], expected[record.site], err_msg=writer)
            assert trace[record.site].dtype == np.float32


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("writer", ["Rust", "JavaScript"])
def test_a_file_of_one_array_is_read_by_its_name(tmp_path: Path, writer: str, version: tuple[int, int]) -> None:
    (tmp_path / "logits.npy").write_bytes(npy(WRITERS[writer], version=version))
    np.testing.assert_array_equal(open_recorded(tmp_path / "logits.npy")["logits"], VALUES)
    for damaged in (npy(WRITERS[writer])[:-1], npy(WRITERS[writer]) + b"\0", b"\x93NUMPY\1\0"):
        (tmp_path / "logits.npy").write_bytes(damaged)
        with pytest.raises(InputError, match=r"logits\.npy: "):
            open_recorded(tmp_path / "logits.npy")


def test_members_that_are_no_arrays_are_left_out(tmp_path: Path) -> None:
    members = {"a.npy": npy(WRITERS["Rust"]), "meta.json": b"{}", "long.txt": bytes(100), "b": npy(WRITERS["Go"])}
    trace = open_recorded(zipped(tmp_path / "d.npz", members))
    assert [record.site for record in trace.records] == ["a", "b"]
    assert trace.run.notes == ("left out, because they hold no numbers that are read: meta.json, long.txt",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", "a key that stands there twice"),
        ("{'descr': '<f4', 'shape': (2, 3)}", "must have descr, fortran_order and shape, got descr, shape"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': 1}", "must have descr, fortran_order and"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': [2, 3]}", "its shape is not one of"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': 6}", "its shape is not one of"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (6)}", "its shape is not one of"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}", "is no dict of texts"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2**40, 3)}", "is no dict of texts"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (02, 3)}", "a number that is none"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "larger than any file"),
        ("{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}", "True or False for fortran_order"),
        ("{'descr': __import__('os'), 'fortran_order': False, 'shape': ()}", "is no dict of texts"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} 1", "needs to end where it has 1"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)", "needs } where it has its end"),
        ("{'descr': '<f4' 'fortran_order': False, 'shape': (2, 3)}", "needs }"),
        ("{'descr': '\\x3cf4', 'fortran_order': False, 'shape': (2, 3)}", "is no dict of texts"),
        ("[" * 3000, "is no dict|more than|needs"),
        ("{" + "(" * 1500, "nested too deep"),
        ("", "needs { where it has its end"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'é': 1}", "not ASCII"),
    ],
)
def test_what_is_no_such_dict_is_refused(text: str, said: str) -> None:
    with pytest.raises(NpyError, match=said):
        parse_text(text.encode(), own=False)


@pytest.mark.parametrize("descr", ["[('a', '<f4'), ('b', '<i8', (2,))]", "'|O'", "'<U3'", "'<M8[ns]'", "'<f16'"])
def test_other_than_numbers_is_no_fault_of_the_file(descr: str) -> None:
    with pytest.raises(NoNumbersError):
        parse_text(f"{{'shape': (2,), 'descr': {descr}, 'fortran_order': False}}".encode(), own=False)


SPACE = st.sampled_from(["", " ", "  ", "\n", "\t", " # x\n"])
QUOTE = st.sampled_from("'\"")
CODES = [
    "<f4", ">f4", "=f8", "|b1", "f2", "?", "<i8", ">u2", "|u1", "i1", "<c8", "float32", "int64", "d", "<f", "e", "l",
    "uint8", "bool", "half", "<f16", "|O", "<U2", "x", "", "<", "<float32", "f5",
]  # fmt: skip


@st.composite
def headers(draw: st.DrawFn) -> str:
    """A dict literal that may be a header, written in one of many ways."""
    quote = draw(QUOTE)
    lengths = draw(st.lists(st.integers(0, 3), max_size=3))
    size = draw(st.sampled_from(["{}", "{}", "{}L", "+{}", "0x{}", "{}_0", "0{}"]))
    inner = draw(st.sampled_from([",", ", ", " ,"])).join(size.format(n) for n in lengths)
    tail = draw(st.sampled_from([",", "", ", "])) if len(lengths) != 1 else ","
    shape = draw(st.sampled_from(["({})", "({})", "({})", "[{}]", "{}"])).format(inner + (tail if lengths else ""))
    fields = [
        ("descr", f"{quote}{draw(st.sampled_from(CODES))}{quote}"),
        ("fortran_order", draw(st.sampled_from(["False", "True", "False", "0", "None"]))),
        ("shape", shape),
    ]
    fields = draw(st.permutations(fields))[: draw(st.sampled_from([3, 3, 3, 3, 2]))]
    body = ",".join(f"{draw(SPACE)}{quote}{name}{quote}{draw(SPACE)}:{draw(SPACE)}{value}" for name, value in fields)
    end = draw(st.sampled_from(["", ",", ", "])) + draw(SPACE)
    return (
        draw(st.sampled_from(["", " ", "(", "\n"]))
        + "{"
        + body
        + end
        + "}"
        + draw(st.sampled_from(["", "\n", ")", " \n"]))
    )


def by_numpy(text: str) -> Head | None:
    """The header as numpy reads it; None where it refuses, or reads no number that is allowed."""
    content = bytes(1 << 19)  # of 30 × 30 × 30 numbers
    try:
        array: Any = np.lib.format.read_array(io.BytesIO(npy(text, content)), allow_pickle=False)
    except Exception:
        return None
    if array.dtype.kind not in "biufc" or array.dtype.itemsize > 16 or array.dtype.name in ("float128", "complex256"):
        return None
    return Head(array.dtype, array.shape)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(headers())
def test_what_numpy_reads_is_read_and_nothing_is_read_otherwise(text: str) -> None:
    expected = by_numpy(text)
    try:
        found = parse_text(text.encode(), own=False)
    except NpyError:
        found = None
    if "(" in text[:1] or text.endswith(")"):
        # A dict in parentheses is one to Python; nobody writes it.
        return
    if expected is None:
        assert found is None
    else:
        assert found is not None, text
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)


@settings(max_examples=100, deadline=None)
@given(
    st.text(st.sampled_from("{}()[]'\":, \n\\x0123fF<descrshape-_TrueFalse#L"), max_size=60) | st.binary(max_size=60)
)
def test_any_text_is_a_dict_or_refused(text: str | bytes) -> None:
    with suppress(TextError):
        assert isinstance(parse_dict(text.encode() if isinstance(text, str) else text), dict)


def test_long_texts_are_refused() -> None:
    for text in (b"'" * 10_000, b"{'a': " + b"1" * 9_990, b" " * 10_000, b"#" * 10_000, b"{" * 10_000, b"(," * 5_000):
        with pytest.raises(TextError):
            parse_dict(text)
