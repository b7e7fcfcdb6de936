"""Files of prompts, one a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetui.errors import InputError
from tracetui.recipe import read_batch
from tracetui.recipe.batch_file import MAX_BATCH_BYTES


def written(folder: Path, content: bytes) -> Path:
    path = folder / "prompts.txt"
    path.write_bytes(content)
    return path


def test_a_line_is_a_prompt_and_a_json_string_is_its_text(tmp_path: Path) -> None:
    content = 'hello\r\n  two words \n"one\\ntwo"\n"said he\n"a" and "b"\n\u00e9\n'.encode()
    expected = ("hello", "  two words ", "one\ntwo", '"said he', '"a" and "b"', "é")
    assert read_batch(written(tmp_path, content)) == expected
    assert read_batch(written(tmp_path, b"\xef\xbb\xbfa\nb")) == ("a", "b")


@given(prompts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=9))
def test_any_prompts_written_as_json_come_back(tmp_path_factory: pytest.TempPathFactory, prompts: list[str]) -> None:
    lines = "\n".join(json.dumps(prompt) for prompt in prompts)
    assert read_batch(written(tmp_path_factory.mktemp("b"), lines.encode())) == tuple(prompts)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a batch has 1 to 1,024 prompts, got 0"),
        (b"\n", "line 1: is empty"),
        (b"a\n\nb\n", "line 2: is empty"),
        (b'a\n""\n', "line 2: is empty"),
        (b"a\nb\xff\n", "line 2: is not UTF-8 text, got 0xFF at byte 1 of the line"),
        (b"a\n" * 1025, "a batch has 1 to 1,024 prompts, got 1,025"),
        (b"a" * (MAX_BATCH_BYTES + 1), "larger than the 16,777,216 bytes"),
    ],
    ids=range(7),
)
def test_a_faulty_file_is_told_with_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=said) as refused:
        read_batch(path)
    assert str(refused.value).startswith(str(path))
