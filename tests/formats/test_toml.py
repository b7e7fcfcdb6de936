"""TOML files of strangers: what is refused, and that it is refused by whoever reads one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tracetui.analysis.mapping.rules import read_rules
from tracetui.errors import InputError
from tracetui.formats.toml import MOST_PARTS, TomlError, parse_toml
from tracetui.recipe import load_recipe
from tracetui.ui.keys.keymap import load_keymap
from tracetui.ui.theme.file import read_theme

LONG = f"a{'.a' * 30_000} = 1"
HOSTILE = {
    "key": (LONG, f"has a key of more than {MOST_PARTS} parts"),
    "header": (f"[ a {' . a' * 10_000}]", f"has a key of more than {MOST_PARTS} parts"),
    "quoted": ("\"b c\".'d'" * 1 + '."e"' * 10_000 + " = 1", f"has a key of more than {MOST_PARTS} parts"),
    "inline": (f"x = {{y = 1, a{'.a' * 10_000} = 1}}", f"has a key of more than {MOST_PARTS} parts"),
    "decimal": (f"keys = {'1' * 5000}", "has an integer of more than 64 bits"),
    "hexadecimal": (f"keys = [0x{'f' * 50_000}]", "has an integer of more than 64 bits"),
    "depth": (f"keys = {'[' * 20_000}", "is nested too deep"),
    "text": ("a = ", "is not TOML: Invalid value (at end of document)"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_refused(kind: str) -> None:
    text, problem = HOSTILE[kind]
    with pytest.raises(TomlError) as error:
        parse_toml(text.encode())
    assert str(error.value) == problem


def test_what_is_read() -> None:
    key = ".".join(["a"] * MOST_PARTS)
    text = f"n = {2**63 - 1}\nm = {-(2**63)}\nt = '{'b.' * 1000}'\n{key} = 1\n[x.\"y z\"]\nf = 1e400"
    document = parse_toml(text.encode())
    assert (document["n"], document["m"]) == (2**63 - 1, -(2**63))
    assert document["x"] == {"y z": {"f": float("inf")}}


READERS: dict[str, Callable[[Path], object]] = {
    "theme": read_theme,
    "map": read_rules,
    "recipe": lambda path: load_recipe(str(path)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_whoever_reads_one_refuses_it_by_name(tmp_path: Path, kind: str, reader: str) -> None:
    path = tmp_path / "file.toml"
    text, problem = HOSTILE[kind]
    path.write_text(text)
    with pytest.raises(InputError, match=r"file\.toml: ") as error:
        READERS[reader](path)
    assert problem in str(error.value)


@pytest.mark.parametrize("kind", HOSTILE)
def test_keys_of_such_a_file_are_left_as_they_are(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "keymap.toml"
    text, problem = HOSTILE[kind]
    path.write_text(text)
    keymap = load_keymap(path, lambda: ())
    assert (dict(keymap.keys), keymap.problems) == ({}, (f"{path}: {problem}",))
