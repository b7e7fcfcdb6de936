"""A trace without a screen: progress on the terminal, a file, a few lines about the result."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tracetui.analysis.prediction import next_tokens
from tracetui.errors import RunError, TracetuiError
from tracetui.logs import write_log
from tracetui.recipe import Recipe
from tracetui.session import Event, Prepared, Preparing, Progress, Started
from tracetui.signals import check_signals
from tracetui.text import size, token_text, visible
from tracetui.trace.npz import write_trace
from tracetui.trace.record import Token
from tracetui.trace.trace import Trace
from tracetui.views.plan_lines import part_lines, plan_line
from tracetui.views.prompt_lines import preview_lines

_PREDICTIONS = 5
_SHOWN = 60
"""Characters of a row's text."""


def run_and_write(recipe: Recipe, output: Path | None) -> Iterator[str]:
    """Run a recipe's prompts to the end, write the trace, and tell what came out, line by line.

    Raises InputError for bad input, RunError if the model or the writing fails.
    """
    teller = _Teller()
    teller.tell(Preparing("loading torch and transformers"))
    trace = _run(recipe, teller)
    teller.clear()
    if output is not None:
        written = write_trace(trace, output)
        yield f"{visible(str(output), 200)}: {len(trace)} records, {size(written)}"
    else:
        yield f"{len(trace)} records; give -o F.npz to keep them"
    for row in range(len(trace.tokens)):
        yield from _predictions(trace, row)
    yield from (f"note: {visible(note, 300)}" for note in trace.run.notes)


def _predictions(trace: Trace, row: int) -> Iterator[str]:
    """The likeliest next tokens of one row, under a line that says which where there are several."""
    found = next_tokens(trace, _PREDICTIONS, row)
    if found and len(trace.tokens) > 1:
        yield f"row {row} of 0–{len(trace.tokens) - 1}, {len(trace.tokens[row])} tokens: {_shown(trace.tokens[row])}"
    for prediction in found:
        shown = token_text(prediction.token.bytes) or f"#{prediction.token.id}"
        yield f"  {prediction.probability:8.4%}  logit {prediction.logit:8.3f}  {prediction.token.id:>7}  {shown}"


def _shown(tokens: Sequence[Token]) -> str:
    """A prompt on one line: its text, cut, or its ids."""
    text = visible(b"".join(token.bytes for token in tokens).decode(errors="replace"), _SHOWN)
    return text or visible(",".join(str(token.id) for token in tokens[:_SHOWN]), _SHOWN)


def _run(recipe: Recipe, teller: _Teller) -> Trace:
    from tracetui.tracer.run import trace_recipe

    try:
        return trace_recipe(recipe, emit=teller.tell)
    except (TracetuiError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        log = write_log("run", error)
        raise RunError(
            f"the model failed: {type(error).__name__}: {error}{log and f'; the log is in {log}'}"
        ) from error
    finally:
        teller.clear()


class _Teller:
    """Says on stderr what goes on, and ends the run if told to; the line that changes is for terminals only."""

    def __init__(self) -> None:
        self._changing = sys.stderr.isatty()

    def tell(self, event: Event) -> None:
        check_signals()
        if isinstance(event, Started):
            self.clear()
            for line in (plan_line(event.plan), *part_lines(event.plan)):
                self._say(f"{line}\n")
        elif isinstance(event, Prepared):
            self.clear()
            for line in preview_lines(event.preview.rows, event.preview.prompts.chat):
                self._say(f"{line}\n")
        elif isinstance(event, Preparing):
            self._change(event.what)
        elif isinstance(event, Progress) and event.total:
            self._change(f"making {event.what} {event.done / event.total:4.0%} of {size(event.total)}")

    def clear(self) -> None:
        if self._changing:
            self._say("\r\x1b[K")

    def _change(self, text: str) -> None:
        if self._changing:
            self._say(f"\r\x1b[K{visible(text, 78)}")

    def _say(self, text: str) -> None:
        # Nobody may be reading any more: that ends no run.
        with suppress(OSError):
            print(text, end="", file=sys.stderr, flush=True)
