"""Errors of the compiled tokenizer libraries, panics included, turned into ones that a user can read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracetui.errors import InputError
from tracetui.text import visible


@contextmanager
def library_errors(where: str | Path) -> Iterator[None]:
    """Whatever the library raises inside becomes an InputError that begins with `where`.

    A panic in Rust code is a BaseException of the module `pyo3_runtime`; interrupts and cancels pass through.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise _input_error(where, error) from error
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":
            raise
        raise _input_error(where, error) from error


def _input_error(where: str | Path, error: BaseException) -> InputError:
    return InputError(f"{where}: the tokenizer library refused it: {visible(str(error), limit=200)}")
