"""Tracebacks go to a file; the user is shown its path."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime

from tracetui import paths


def write_log(kind: str, error: BaseException) -> str:
    """Keep an error's traceback in a file of its own in the state folder; returns its path, empty if that failed."""
    log = paths.state_dir() / "logs" / f"{kind}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.log"
    text = "".join(traceback.format_exception(error))
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        return ""
    return str(log)
