"""The errors a user meets: one line that names the place, the field, what was found and what to do."""

from __future__ import annotations

from pathlib import Path


class TracetuiError(Exception):
    """An error whose text is meant for the user; `exit_code` is what the process ends with."""

    exit_code = 1


class InputError(TracetuiError):
    """Something the user gave is wrong: a name, a file, a field, an option."""

    exit_code = 2


class RunError(TracetuiError):
    """A run, an export or a comparison failed although its input was sound."""


class Cancelled(BaseException):
    """Raised inside a hook to leave the forward pass; no Exception, so that no model code can swallow it."""


def bad_field(where: str | Path, field: str, problem: str, found: object | None = None) -> InputError:
    """An InputError that reads `file: field: problem, got …`."""
    got = "" if found is None else f", got {_short(found)}"
    return InputError(f"{where}: {field}: {problem}{got}")


def _short(found: object) -> str:
    shown = repr(found)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"
