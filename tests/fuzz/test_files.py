"""Files of strangers, made unsound: read as they are, or refused in a line that names them, soon and in little memory.

`make torture` tries many; TRACETUI_TORTURE says how many of each kind.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.bounds import bounded
from tests.fuzz.forms import FORMS, FileForm, Values
from tests.fuzz.mutations import bytes_anywhere
from tracetui.errors import InputError
from tracetui.recording.dumps.checksums import check_values
from tracetui.text import visible

LONG = int(os.environ.get("TRACETUI_TORTURE", "0"))
SEEDS = range(LONG or 40)
_LONGEST = 1200


def _read(form: FileForm, path: Path) -> Values | str:
    """What was read, or what was said instead."""
    try:
        with bounded():
            return form.read(path)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("kind", FORMS)
def test_it_is_read_or_refused_in_a_line(kind: str, tmp_path: Path) -> None:
    form = FORMS[kind]
    path = form.make(tmp_path)
    sound, mutate = path.read_bytes(), form.mutate(path)
    expected, ends = _read(form, path), Counter[str]()
    assert not isinstance(expected, str)
    for seed in SEEDS:
        rng = Random(f"{kind} {seed}")
        anywhere = rng.random() < 0.4
        content = (bytes_anywhere if anywhere else mutate)(rng, sound)
        form.make(tmp_path).write_bytes(content)
        values = _read(form, path)
        ends["refused" if isinstance(values, str) else "read"] += 1
        if isinstance(values, str):
            check_refusal(values, path)
            continue
        check_beside(form, path, values)
        if anywhere and form.checksums and _is_sound(path):
            assert values == expected, seed
    if LONG:
        print(f"\n{kind}: {dict(ends)}")


def check_refusal(said: str, path: Path) -> None:
    """It names the file, and a terminal does nothing but show it."""
    for line in said.splitlines():
        assert str(path.parent) in line, said
        assert path.name in line or line.startswith(f"{path.parent}"), said
        assert len(line) < _LONGEST + len(str(path)), said
        assert visible(line, 10_000) == line, said


def check_beside(form: FileForm, path: Path, values: Values) -> None:
    """What another reader takes too is the same by both."""
    others: Values = {}
    if form.other is not None:
        with suppress(Exception), bounded():
            others = form.other(path)
    assert {name: values.get(name) for name in others} == others


def _is_sound(path: Path) -> bool:
    try:
        check_values(path)
    except InputError:
        return False
    return True
