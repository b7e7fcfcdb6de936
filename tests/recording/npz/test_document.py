"""docs/trace-format.md is true: its reader runs, and its example has the fields of a real header."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.recording.made import small_trace
from tracetui.recording.npz import write_trace

DOCUMENT = (Path(__file__).parents[3] / "docs" / "trace-format.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_trace(small_trace(), tmp_path / "t.npz")
    return tmp_path / "t.npz"


def test_the_reader_in_the_document_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, object] = {"path": path}
    exec(block("python"), scope)
    trace = small_trace()
    arrays = scope["arrays"]
    assert isinstance(arrays, dict)
    for record, value in zip(scope["header"]["records"], trace.values, strict=True):  # type: ignore[index]
        assert record["key"] is None or np.array_equal(arrays[record["key"]], value.read())
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == r"tiny on b'<s>\xe2\x82'"
    assert len(shown) == 1 + len(trace)
    assert len([line for line in block("python").splitlines() if line.strip()]) <= 20


def fields(found: object, way: str = "") -> set[str]:
    """The names in a JSON document, those of the free mappings left out."""
    if isinstance(found, list):
        return set().union(*(fields(item, f"{way}[]") for item in found))
    if not isinstance(found, dict) or way in (".run.recipe", ".run.config", ".run.versions"):
        return {way}
    named = {"*" if way == ".attention" else key: value for key, value in found.items()}
    return set().union(*(fields(value, f"{way}.{key}") for key, value in named.items()))


def test_the_example_has_the_fields_of_a_real_header(path: Path) -> None:
    with np.load(path) as file:
        header = json.loads(bytes(file["__tracetui__"]))
    example = json.loads(block("json"))
    empty = {".run.notes", ".vocabulary.ids", ".vocabulary.bytes", ".vocabulary.special"}
    assert {name.removesuffix("[]") for name in fields(example)} - empty == (
        {name.removesuffix("[]") for name in fields(header)} - empty
    )
    assert (header["format"], header["needs"]) == (example["format"], example["needs"])
