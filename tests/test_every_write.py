"""Whichever write, sync or renaming of a file fails, and however, the old file or the new one is there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import IO

import numpy as np
import pytest

import tracetui
from tests.faults import SHORT, broken_disk, full_disk, injected
from tests.recording.made import small_trace
from tracetui.debugger.memory.note import NO_NOTE
from tracetui.debugger.memory.store import NoteStore
from tracetui.errors import RunError
from tracetui.export.command import _as_text, written
from tracetui.export.report.document import write_report
from tracetui.export.tables import csv_lines
from tracetui.export.tensors import write_npy, write_safetensors
from tracetui.recipe.prompts import texts
from tracetui.recording.npz import write_trace
from tracetui.recording.spill_file import SpillFile
from tracetui.ui.app import _write_picture
from tracetui.ui.dialogs.files.last_folder import keep_folder
from tracetui.ui.theme.themes import remember_theme

ROWS = (5, 90)
Write = Callable[[Path, int], object]
"""Writes the first or the second of two contents, somewhere below a folder."""
_TRACES = [small_trace(rows) for rows in ROWS]


def exported(folder: Path, which: int, name: str) -> object:
    trace = _TRACES[which]
    writes = {
        "safetensors": lambda file: f"{write_safetensors(trace, file)}",
        "npy": lambda file: f"{write_npy(trace.value(trace.records[0]), (), file)}",
        "csv": _as_text(csv_lines, trace),
        "html": lambda file: write_report(trace, file),
    }
    return list(written(folder / f"out.{name}", (), writes[name]))


WRITERS: dict[str, Write] = {
    "trace": lambda folder, which: write_trace(_TRACES[which], folder / "t.npz"),
    "compressed trace": lambda folder, which: write_trace(_TRACES[which], folder / "t.npz", compress=True),
    "safetensors": lambda folder, which: exported(folder, which, "safetensors"),
    "array": lambda folder, which: exported(folder, which, "npy"),
    "table": lambda folder, which: exported(folder, which, "csv"),
    "report": lambda folder, which: exported(folder, which, "html"),
    "session note": lambda folder, which: NoteStore("m").write(replace(NO_NOTE, prompts=texts("x" * ROWS[which]))),
    "theme": lambda folder, which: remember_theme(f"theme-{which}"),
    "last folder": lambda folder, which: keep_folder(folder / str(which) / "f"),
    "screenshot": lambda folder, which: _write_picture("<svg>" * ROWS[which], folder / "shot.svg"),
}
WHO_WRITES = {
    **dict.fromkeys(("recording/npz/writer.py", "recording/spill_file.py", "export/command.py"), "here"),
    **dict.fromkeys(("ui/app.py", "ui/theme/themes.py", "ui/dialogs/files/last_folder.py"), "here"),
    "debugger/memory/store.py": "here",
    "hub/layers.py": "tests/hub/test_every_write.py",
    "paths.py": "what all of these write by",
    "logs.py": "a log may be cut short",
    "models/tokenizers/build.py": "run by whoever changes the built-in tokenizer",
}
"""The modules that write files, and where each of their writes is made to fail, or why none is."""
_WRITES = re.compile(
    r"\breplacing\(|\bwrite_(?:text|bytes)\(|\bopen\([^)]*[\"'][rb]*[wax]|O_CREAT|\bmkstemp\(|TemporaryFile\(|copyfile\(|\.tofile\("
)
STRIKES = {"full disk": full_disk, "broken disk": broken_disk, "short write": lambda: SHORT}


FAILURES = (RunError, OSError)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but logs."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_every_module_that_writes_is_known() -> None:
    package = Path(tracetui.__file__).parent
    writing = {
        path.relative_to(package).as_posix() for path in package.rglob("*.py") if _WRITES.search(path.read_text())
    }
    assert writing == WHO_WRITES.keys()


@pytest.mark.parametrize("strike", STRIKES)
@pytest.mark.parametrize("writer", WRITERS)
def test_the_nth_operation_fails(writer: str, strike: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACETUI_STATE_DIR", str(tmp_path / "state"))
    write = WRITERS[writer]
    write(tmp_path, 1)
    new = content(tmp_path)
    write(tmp_path, 0)
    old = content(tmp_path)
    assert old.keys() == new.keys()
    assert old != new
    for nth in range(1, 200):
        write(tmp_path, 0)
        with injected(nth, STRIKES[strike]) as faults, suppress(*(() if strike == "short write" else FAILURES)):
            write(tmp_path, 1)
        left = content(tmp_path)
        assert left in ((old, new) if faults.fired and strike != "short write" else (new,)), nth
        if not faults.fired:
            break
    assert nth > 4


@pytest.mark.parametrize("strike", STRIKES)
def test_what_spills_is_there_or_the_value_isn_t(strike: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values before and after one that couldn't be written are what they were."""
    blocks = [bytes([number]) * 9000 for number in range(4)]
    for nth in range(1, 12):
        spill = SpillFile(tmp_path, 10**6)
        places: dict[int, int | None] = {}
        monkeypatch.setattr(os, "pwrite", _failing(nth, STRIKES[strike]))
        for number, block in enumerate(blocks):
            try:
                places[number] = spill.add(len(block), [memoryview(block)[:4000], memoryview(block)[4000:]])
            except OSError:
                assert strike != "short write"
        assert len(places) >= 3
        for number, place in places.items():
            assert place is not None
            assert spill.array(place, np.dtype("u1"), (9000,)).tobytes() == blocks[number]
        monkeypatch.undo()


def _failing(nth: int, strike: Callable[[], object]) -> Callable[[int, memoryview, int], int]:
    """os.pwrite, on which a strike falls the nth time."""
    real, calls = os.pwrite, count(1)

    def pwrite(descriptor: int, part: memoryview, at: int) -> int:
        short = next(calls) == nth and strike() is SHORT
        return real(descriptor, part[: len(part) // 2] if short else part, at)

    return pwrite


def test_without_the_guard_the_old_file_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds above isn't held by how the faults are made."""

    @contextmanager
    def in_place(target: Path) -> Iterator[IO[bytes]]:
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            yield file

    monkeypatch.setattr("tracetui.paths.replacing", in_place)
    _write_picture("<svg>", tmp_path / "shot.svg")
    with injected(1, full_disk):
        _write_picture("<svg>" * 2, tmp_path / "shot.svg")
    assert (tmp_path / "shot.svg").read_bytes() != b"<svg>"
