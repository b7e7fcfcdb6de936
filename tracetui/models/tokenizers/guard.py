"""Errors of the compiled tokenizer libraries, panics included, turned into ones that a user can read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracetui.errors import InputError
from tracetui.logs import open_noise_log
from tracetui.text import visible


@contextmanager
def library_errors(where: str | Path) -> Iterator[None]:
    """Whatever the library raises inside becomes an InputError that begins with `where`.

    A panic in Rust code is a BaseException of the module `pyo3_runtime`; interrupts and cancels pass through. What such
    code writes of it to a terminal goes to the log.
    """
    try:
        with _away_from_terminal():
            yield
    except InputError:
        raise
    except Exception as error:
        raise _input_error(where, error) from error
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":
            raise
        raise _input_error(where, error) from error


@contextmanager
def _away_from_terminal() -> Iterator[None]:
    """Panics are told past Python, with a stranger's text in them; the screen's own guard is left as it is."""
    if not os.isatty(2):
        yield
        return
    terminal, log = os.dup(2), open_noise_log()
    try:
        os.dup2(log, 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(log)


def _input_error(where: str | Path, error: BaseException) -> InputError:
    return InputError(f"{where}: the tokenizer library refused it: {visible(str(error), limit=200)}")
