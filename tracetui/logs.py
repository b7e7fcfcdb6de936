"""Tracebacks go to a file; the user is shown its path."""

from __future__ import annotations

import os
import traceback
from contextlib import suppress
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


def open_noise_log() -> int:
    """A descriptor for what libraries print past us; the last session's is dropped. The null device if all fails."""
    log = paths.state_dir() / "logs" / "stderr.log"
    with suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
