"""Sessions and traces that were open lately, the newest first."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

from tracetui.debugger.home.recordings import recording_row, recordings_in
from tracetui.debugger.home.rows import HomeRow, HomeSection, date_text
from tracetui.debugger.memory.note import ScreenLayout, SessionNote, told
from tracetui.debugger.memory.store import StoredSession, stored_sessions
from tracetui.debugger.memory.switch import switched_off

MOST = 12
_TEXT = 60
"""Characters of a prompt."""
_RUN = ("recipe", "hub", "path")


def recent_section(folder: Path, most: int = MOST) -> HomeSection:
    """What was open lately, and traces in a folder that were written lately; with sessions switched off only those."""
    rows: dict[tuple[str, ...], tuple[float, HomeRow]] = {}
    for session in () if switched_off() else islice(stored_sessions(), most):
        if (row := _row(session)) is not None:
            rows[row.command] = (session.when, row)
    for path in recordings_in(folder):
        key = ("open", str(path.absolute()))
        if key not in rows and (row := recording_row(path.absolute())) is not None:
            rows[key] = (path.stat().st_mtime, row)
    newest = sorted(rows.values(), key=lambda dated: dated[0], reverse=True)[:most]
    return HomeSection("Recent", tuple(row for _, row in newest))


def _row(session: StoredSession) -> HomeRow | None:
    kind, _, name = session.model.partition(" ")
    if kind == "recording":
        path = Path(name)
        row = recording_row(path) if path.is_file() else None
        return None if row is None else HomeRow(row.name, row.about, date_text(session.when), row.command, row.alarm)
    if kind not in _RUN or (kind == "path" and not Path(name).exists()):
        return None
    note = session.note
    shown = f"{Path(name).parent.name}/{Path(name).name}".lstrip("/") if kind == "path" else name
    about = " · ".join(part for part in (note.finding, _settings(note), _prompt(note)) if part)
    return HomeRow(shown, about, date_text(session.when), ("run", name), alarm=bool(note.finding))


def _settings(note: SessionNote) -> str:
    """What was set: `2 stops, 1 watch`."""
    return told(replace(note, prompts=None, layout=ScreenLayout()))


def _prompt(note: SessionNote) -> str:
    """The beginning of what was run last, or would be."""
    text = note.prompts.text if note.prompts is not None and note.prompts.texts else (note.earlier or ("",))[-1]
    return f"“{text[:_TEXT].strip()}{'…' if len(text) > _TEXT else ''}”" if text.strip() else ""
