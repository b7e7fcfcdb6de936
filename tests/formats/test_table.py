"""JSON from strangers: read into bounded values or refused in one line."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetui.errors import InputError
from tracetui.formats.json_text import parse_json_object
from tracetui.formats.table import Fields, check_plain, read_json_object


def read(folder: Path, content: bytes) -> dict[str, object]:
    path = folder / "config.json"
    path.write_bytes(content)
    return read_json_object(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: is not JSON: Expecting value"),
        (b"[]", "must hold a JSON object, got list"),
        (b'"x"', "must hold a JSON object, got str"),
        (b'{\n"dim": 1,\n', "line 3: is not JSON"),
        (b'{"dim": 1, "dim": 2}', "dim: stands there twice"),
        (b'{"a": {"b": 1, "b\\u001b": 2, "b\\u001b": 3}}', "b␛: stands there twice"),
        (b'{"eps": NaN}', "NaN is no JSON number"),
        (b'{"eps": -Infinity}', "-Infinity is no JSON number"),
        (b'{"eps": 1e999}', "eps: must be finite, got inf"),
        (b'{"dim": ' + b"9" * 4300 + b"}", "an integer of 4300 digits is too large"),
        (b'{"dim": 9007199254740993}', "dim: is too large, got 9007199254740993"),
        (b'{"a": [1, {"b": -9007199254740993}]}', "a[1].b: is too large"),
        (b'{"a": "' + b"x" * 10_001 + b'"}', "a: is a text of 10,001 characters, more than 10,000"),
        (b"\xff", "is not UTF-8 text, at byte 0"),
        (b'{"a":' * 100_000, "is nested too deep"),
        (b'{"a":' * 20 + b"1" + b"}" * 20, "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a: is nested too deep"),
        (b"version https://git-lfs.github.com/spec/v1", "is a git-lfs pointer"),
        (b"<!DOCTYPE html>", "is an HTML page"),
    ],
)
def test_bad_json_is_refused_with_its_place(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, content)
    assert str(error.value).startswith(f"{tmp_path / 'config.json'}: {said}")
    assert str(error.value).isprintable()


def test_a_late_duplicate_among_very_many_keys_is_found_at_once(tmp_path: Path) -> None:
    """Quadratic work on this file would take hours: the test's time limit tells."""
    keys = ",".join(f'"k{index}":0' for index in range(400_000))
    with pytest.raises(InputError, match="k7: stands there twice"):
        read(tmp_path, f'{{{keys},"k7":0}}'.encode())


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b" " * 101)
    with pytest.raises(InputError, match="larger than the 100 bytes that such a file may have, got 101"):
        read_json_object(path, limit=100)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), plain, max_size=4))
def test_plain_values_come_back_as_they_were_written(written: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert read(Path(folder), json.dumps(written).encode()) == written


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53 + 1, "x" * 10_001])
def test_values_that_toml_can_hold_are_bounded_too(value: object) -> None:
    with pytest.raises(InputError, match=r"^f.toml: a\[0\].b: "):
        check_plain({"a": [{"b": value}]}, "f.toml")


def test_typed_fields_name_their_table() -> None:
    fields = Fields({"n": "x", "t": 5, "f": 1, "none": None}, "f.toml", "config.")
    with pytest.raises(InputError, match=r"^f.toml: config.n: must be an integer, got 'x'$"):
        fields.integer("n")
    with pytest.raises(InputError, match=r"^f.toml: config.t: must be a text, got 5$"):
        fields.text("t")
    with pytest.raises(InputError, match=r"^f.toml: config.other: is missing, a text is needed$"):
        fields.text("other")
    with pytest.raises(InputError, match=r"^f.toml: config.f: must be true or false, got 1$"):
        fields.flag("f")
    assert (fields.integer("none", default=3), fields.number("none", 2.0), fields.flag("none", True)) == (3, 2.0, True)


@pytest.mark.parametrize("number", ["123456789012345678", "-123456789012345678901"])
def test_an_integer_that_is_too_long_is_refused_wherever_it_stands(tmp_path: Path, number: str) -> None:
    with pytest.raises(InputError, match="digits is too large"):
        parse_json_object(f'{{"a": [1, {{"b": {number}}}]}}'.encode(), tmp_path / "config.json")


def test_digits_within_a_text_are_no_integer(tmp_path: Path) -> None:
    found = parse_json_object(
        b'{"a123456789012345678901234567890": "1234567890123456789012"}', tmp_path / "config.json"
    )
    assert list(found.values()) == ["1234567890123456789012"]
