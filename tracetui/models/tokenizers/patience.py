"""Waits for a library's work no longer than so long, as a stranger's file may make it endless."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def result_within(seconds: float, work: Callable[[], Result]) -> Result | None:
    """What the work gives; None where it takes longer, and then it goes on by itself. What it raises is raised here.

    The work must let other threads run, as compiled code may or may not.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="tokenizer", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return results[0] if results else None
