"""What the home screen lists of what was open lately."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from tests.ui.tiny_llama import empty_recorder, forward
from tracetui.debugger.home.recent import recent_section
from tracetui.debugger.home.rows import date_text
from tracetui.debugger.memory.note import SessionNote
from tracetui.debugger.memory.store import NoteStore
from tracetui.expr.stop import DEFAULT_STOPS, parse_stop
from tracetui.recipe import texts
from tracetui.recording.npz import write_trace
from tracetui.recording.trace import Trace


def a_trace() -> Trace:
    recorder = empty_recorder()
    list(forward(recorder))
    return recorder.trace


def remembered(model: str, note: SessionNote, seconds_ago: float) -> None:
    store = NoteStore(model)
    store.write(note)
    when = time.time() - seconds_ago
    os.utime(store.path, (when, when))


def test_sessions_come_newest_first_with_what_they_found_and_what_was_set(tmp_path: Path) -> None:
    stop = parse_stop("layers.1 if norm > 10")
    remembered("recipe llama-tiny", SessionNote(prompts=texts("hello there"), stops=(*DEFAULT_STOPS, stop)), 300)
    remembered("hub a/b", SessionNote(finding="NaN in layer 7", earlier=("x" * 100,)), 20)
    remembered(f"path {tmp_path}", SessionNote(), 100)
    remembered(f"path {tmp_path}/gone", SessionNote(), 10)
    remembered("callable m.py:f", SessionNote(), 10)
    rows = recent_section(tmp_path).rows
    assert [row.command for row in rows] == [("run", "a/b"), ("run", str(tmp_path)), ("run", "llama-tiny")]
    assert rows[0].about == f"NaN in layer 7 · “{'x' * 60}…”"
    assert rows[0].alarm
    assert rows[2].about == "1 stop · “hello there”"
    assert not rows[2].alarm


def test_traces_come_with_their_model_and_where_a_nan_begins(tmp_path: Path) -> None:
    write_trace(a_trace(), tmp_path / "fine.npz")
    np.savez(tmp_path / "dump.npz", x=np.ones(2))
    (tmp_path / "broken.npz").write_bytes(b"PK")
    remembered(f"recording {tmp_path / 'fine.npz'}", SessionNote(), 50)
    remembered(f"recording {tmp_path / 'gone.npz'}", SessionNote(), 50)
    rows = recent_section(tmp_path).rows
    assert [(row.name, row.command) for row in rows] == [("fine.npz", ("open", str(tmp_path / "fine.npz")))]
    assert "43 records" in rows[0].about


def test_whoever_wants_nothing_remembered_sees_the_folder_s_traces_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_trace(a_trace(), tmp_path / "t.npz")
    remembered("recipe llama-tiny", SessionNote(finding="NaN in layer 7"), 20)
    monkeypatch.setenv("TRACETUI_NO_SESSION", "1")
    assert [row.name for row in recent_section(tmp_path).rows] == ["t.npz"]


def test_what_is_no_session_is_passed_over_and_left_where_it_is(tmp_path: Path) -> None:
    remembered("recipe llama-tiny", SessionNote(), 20)
    folder = NoteStore("x").path.parent
    (folder / "x.json").write_text("{")
    (folder / "other.json").write_text('{"tracetui_session": 1, "model": "recipe llama-tiny"}')
    assert [row.name for row in recent_section(tmp_path).rows] == ["llama-tiny"]
    assert (folder / "x.json").read_text() == "{"


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (datetime(2026, 3, 5, 9, 7), "09:07"),
        (datetime(2026, 3, 4, 23, 59), "yesterday"),
        (datetime(2026, 1, 28), "28 Jan"),
        (datetime(2025, 12, 31), "31 Dec 2025"),
    ],
)
def test_a_date_is_as_short_as_it_can_be(when: datetime, text: str) -> None:
    assert date_text(when.timestamp(), datetime(2026, 3, 5, 12)) == text
