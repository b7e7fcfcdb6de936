"""The errors a user meets: one line that names the place, the field, what was found and what to do."""

from __future__ import annotations

import reprlib
from pathlib import Path


class TracetuiError(Exception):
    """An error whose text is meant for the user; `exit_code` is what the process ends with."""

    exit_code = 1
    details: tuple[str, ...] = ()
    """Lines that belong under the message, such as a caret under the place."""


class InputError(TracetuiError):
    """Something the user gave is wrong: a name, a file, a field, an option."""

    exit_code = 2


class FieldError(InputError):
    """A field of a file holds what it can't, or lacks what it needs."""

    def __init__(self, where: str | Path, field: str, problem: str, value: object | None = None) -> None:
        self.field, self.problem = field, problem
        got = "" if value is None else f", got {_short(value)}"
        super().__init__(f"{where}: {field}: {problem}{got}")


class RunError(TracetuiError):
    """A run, an export or a comparison failed although its input was sound."""


class FileChangedError(RunError):
    """A file was written, cut short or replaced since it was opened, so that what is read of it now means nothing."""

    def __init__(self, path: Path, again: str) -> None:
        """again: what to do, in words."""
        self.path = path
        super().__init__(f"{path}: was changed while it was open; {again}")


class Cancelled(BaseException):
    """Raised inside a hook to leave the forward pass; no Exception, so that no model code can swallow it."""


def bad_field(where: str | Path, field: str, problem: str, value: object | None = None) -> InputError:
    """An InputError that reads `file: field: problem, got …`."""
    return FieldError(where, field, problem, value)


_REPR = reprlib.Repr()
"""Neither deep nesting nor a long list in a foreign file may make a message costly."""
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother, _REPR.maxlong = 4, 200, 200, 200
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 40


def _short(value: object) -> str:
    try:
        text = _REPR.repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}…"


def in_words(error: BaseException) -> str:
    """`ValueError: the text` on one line; the kind alone where the error can't say more, for that is foreign code."""
    try:
        text = " ".join(str(error).split())
    except BaseException:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def without_library(error: BaseException) -> InputError | None:
    """What to say where a library that only models need isn't installed; None for any other error."""
    if not isinstance(error, ModuleNotFoundError) or (error.name or "").partition(".")[0] not in _ONLY_MODELS:
        return None
    return InputError(
        f"{error.name} isn't installed, and a model needs it: `pip install torch transformers`; "
        "recordings open, compare and export without it"
    )


_ONLY_MODELS = ("torch", "transformers", "tokenizers", "safetensors", "tiktoken")
