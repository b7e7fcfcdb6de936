"""A run for programs: its events on stdout as they happen, a JSON object on each line, and the result as the last."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import singledispatchmethod

from tracetui.debugger.session import Edited, Extended, Fired, Started
from tracetui.errors import Cancelled, TracetuiError, in_words, without_library
from tracetui.recording.npz.encode import canonical
from tracetui.recording.trace import EMPTY_TRACE
from tracetui.text import visible
from tracetui.views.run.as_json import hit_document, memory_document, row_document, token_document

INTERRUPTED = 130


class JsonLines:
    """One run's lines. Every line is ASCII and flushed; the last is a result or an error and has the status."""

    def __init__(self, persists: bool) -> None:
        """persists: the run goes on where nobody reads any more, as one does that writes a file."""
        self._persists = persists
        self._out = sys.stdout
        self._gone: OSError | None = None
        """Why stdout takes no more: whoever read it has gone, or its disk is full."""
        self._ended = False
        self._trace = EMPTY_TRACE
        self._pass = 0

    @contextmanager
    def last_said(self) -> Iterator[None]:
        """Have an error that leaves the `with` told in the last line, unless that has been written."""
        try:
            yield
        except TracetuiError as error:
            self._error(str(error), error.exit_code, error.details)
            raise
        except KeyboardInterrupt:
            self._error("interrupted", INTERRUPTED)
            raise
        except SystemExit as end:
            self._error("told to end", end.code if isinstance(end.code, int) else 1)
            raise
        except Cancelled:
            # By `_write`, from wherever in the model's own code an event came.
            if self._gone is None:
                raise
        except Exception as error:
            missing = without_library(error)
            internal = f"internal error: {in_words(error)}"
            self._error(internal if missing is None else str(missing), 1 if missing is None else missing.exit_code)
            raise
        if self._gone is not None:
            raise self._gone

    def result(self, document: Mapping[str, object], status: int, error: str | None) -> None:
        """The last line of a run that began; `error` is what ended it before its end."""
        # Of a long run this takes a while, in which it may be told to end.
        text = _line("result", {**document, "status": status, "error": error})
        self._ended = True
        self._write(text)

    @singledispatchmethod
    def tell(self, event: object) -> None:
        """What of an event concerns a program; most don't."""

    @tell.register
    def _started(self, event: Started) -> None:
        self._trace, self._pass = event.trace, 0
        rows = [row_document(row) for row in event.trace.tokens]
        run = event.trace.run
        edits = run.recipe.get("edits", [])
        memory = memory_document(event.plan)
        self._say("started", {"model": run.model, "rows": rows, "memory": memory, "edits": edits})

    @tell.register
    def _fired(self, event: Fired) -> None:
        for hit in event.hits:
            self._say("stop", {"stop": hit.stop.text, **hit_document(self._trace, hit)})

    @tell.register
    def _edited(self, event: Edited) -> None:
        self._say("edit", {"edit": event.edit, "key": event.key})

    @tell.register
    def _extended(self, event: Extended) -> None:
        for row, (before, after) in enumerate(zip(self._trace.tokens, event.trace.tokens, strict=True)):
            for token in after[len(before) :]:
                self._say("token", {"row": row, "pass": self._pass, **token_document(token)})
        self._trace, self._pass = event.trace, self._pass + 1

    def _error(self, text: str, status: int, details: Sequence[str] = ()) -> None:
        if not self._ended:
            self._ended = True
            fields = {"error": visible(text, 2000), "details": list(details), "status": status}
            self._write(_line("error", fields), last=True)

    def _say(self, event: str, fields: Mapping[str, object]) -> None:
        self._write(_line(event, fields))

    def _write(self, text: str, last: bool = False) -> None:
        if self._gone is not None:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except OSError as error:
            self._gone = error
            if not (self._persists or last):
                raise Cancelled from None


def _line(event: str, fields: Mapping[str, object]) -> str:
    return f"{canonical({'event': event, **fields}).decode('ascii')}\n"
