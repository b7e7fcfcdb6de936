"""Trace files as rows: what was recorded, and what stands out in it."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from pathlib import Path

from tracetui.debugger.finding import finding_of
from tracetui.debugger.home.rows import HomeRow, date_text
from tracetui.errors import TracetuiError
from tracetui.recording.npz import read_trace
from tracetui.recording.trace import Trace
from tracetui.text import count

MOST = 6
_HEADER_BYTES = 8 * 2**20
"""Of a file's description: that of about 30,000 records. A longer one takes seconds to read."""
_LOOKED_AT = 500
"""Files of a folder that are looked at."""


def recordings_in(folder: Path) -> list[Path]:
    """The newest .npz files of a folder."""
    dated: list[tuple[float, Path]] = []
    with suppress(OSError):
        for path in islice(folder.glob("*.npz"), _LOOKED_AT):
            with suppress(OSError):
                dated.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(dated, reverse=True)[:MOST]]


def recording_row(path: Path) -> HomeRow | None:
    """A trace with its model and what stands out; None for a file that is none, or can't be read."""
    try:
        when = path.stat().st_mtime
        trace = read_trace(path, _HEADER_BYTES)
    except (TracetuiError, OSError, ValueError):
        return None
    finding = finding_of(trace)
    about = " · ".join(part for part in (finding, trace.run.model, _extent(trace)) if part)
    return HomeRow(path.name, about, date_text(when), ("open", str(path)), alarm=bool(finding))


def _extent(trace: Trace) -> str:
    tokens = sum(map(len, trace.tokens))
    parts = [f"{count(tokens)} token{'s' if tokens != 1 else ''}"] if tokens else []
    return ", ".join([*parts, f"{len(trace):,} records"])
