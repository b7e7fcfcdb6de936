"""How the ranks of a command find each other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

from tracetui.errors import RunError, in_words
from tracetui.launch import is_launcher_gone

_LOOKING_SECONDS = 0.1


def joined(join: Callable[[], object]) -> None:
    """Have a function find the other ranks, on a thread of its own: in compiled code no signal is heard.

    Raises RunError where it fails, and once torchrun is gone: torch would look for that until its time is up.
    """
    ends: SimpleQueue[BaseException | None] = SimpleQueue()

    def look() -> None:
        try:
            join()
        except BaseException as error:
            ends.put(error)
        else:
            ends.put(None)

    Thread(target=look, name="joining", daemon=True).start()
    while True:
        with suppress(Empty):
            error = ends.get(timeout=_LOOKING_SECONDS)
            break
        if is_launcher_gone():
            raise RunError("torchrun has ended, and the ranks can't find each other without it")
    if error is not None:
        raise RunError(f"the ranks don't find each other: {in_words(error)}") from error
