"""One line on the terminal that says how far fetching has come."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any, Self

from tracetui.errors import RunError
from tracetui.signals import check_signals
from tracetui.startup_line import startup_line
from tracetui.text import size, visible

_SECONDS_BETWEEN = 0.1


class FetchLine:
    """Says on stderr what is fetched; the part that changes is for terminals only."""

    def __init__(self, total: int) -> None:
        """`total` is in bytes."""
        self._total = total
        self._done = 0
        self._file = ""
        self._left: int | None = None
        self._began = time.monotonic()
        self._painted = 0.0
        self._changing = sys.stderr.isatty()

    def announce(self, what: str) -> None:
        """A line that stays."""
        self._say(f"{visible(what, 300)}\n")

    def file(self, name: str, most: int | None = None) -> None:
        """The file that the next bytes are of, and how many it may have at most."""
        self._file = name
        self._left = most
        self._paint()

    def add(self, count: int) -> None:
        """Bytes have come; fewer than none when some have to be fetched again. Raises RunError for too many."""
        check_signals()
        self._done += count
        if self._left is not None:
            self._left -= count
            if self._left < 0:
                raise RunError(f"{visible(self._file, 80)}: the server sends more bytes than it said the file has")
        if time.monotonic() - self._painted >= _SECONDS_BETWEEN:
            self._paint()

    def close(self) -> None:
        """Leave the line empty."""
        if self._changing:
            self._say("\r\x1b[K")

    def _paint(self) -> None:
        self._painted = time.monotonic()
        if self._changing:
            rate = self._done / max(self._painted - self._began, 1e-3)
            share = f"{size(self._done)} of {size(self._total)}  {size(rate)}/s  {self._file}"
            self._say(f"\r\x1b[K{visible(share, 78)}")

    def _say(self, text: str) -> None:
        startup_line.end()
        # Nobody may be reading any more: that ends no download.
        with suppress(OSError):
            print(text, end="", file=sys.stderr, flush=True)


def bar_class(line: FetchLine) -> type[Any]:
    """What huggingface_hub reports a file's bytes to, in the form of a tqdm bar, instead of drawing one itself."""

    class Bar:
        def __init__(self, **options: object) -> None:
            """Its name for the file is a whole address."""

        def update(self, count: int = 1) -> None:
            line.add(count)

        def close(self) -> None:
            """Nothing of its own to leave."""

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: object) -> None:
            self.close()

    return Bar
