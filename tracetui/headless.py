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
from tracetui.session import Event, MemoryPlan, Preparing, Progress, Started
from tracetui.signals import check_signals
from tracetui.text import size, token_text, visible
from tracetui.trace.npz import write_trace
from tracetui.trace.trace import Trace

_PREDICTIONS = 5


def run_and_write(recipe: Recipe, ids: Sequence[int] | None, output: Path | None) -> Iterator[str]:
    """Run a recipe's prompt (or token ids) to the end, write the trace, and tell what came out, line by line.

    Raises InputError for bad input, RunError if the model or the writing fails.
    """
    teller = _Teller()
    teller.tell(Preparing("loading torch and transformers"))
    trace = _run(recipe, ids, teller)
    teller.clear()
    if output is not None:
        written = write_trace(trace, output)
        yield f"{visible(str(output), 200)}: {len(trace)} records, {size(written)}"
    else:
        yield f"{len(trace)} records; give -o F.npz to keep them"
    for prediction in next_tokens(trace, _PREDICTIONS):
        shown = token_text(prediction.token.bytes) or f"#{prediction.token.id}"
        yield f"  {prediction.probability:8.4%}  logit {prediction.logit:8.3f}  {prediction.token.id:>7}  {shown}"
    yield from (f"note: {visible(note, 300)}" for note in trace.run.notes)


def _run(recipe: Recipe, ids: Sequence[int] | None, teller: _Teller) -> Trace:
    from tracetui.tracer.run import trace_recipe

    try:
        return trace_recipe(recipe, ids=ids, emit=teller.tell)
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
            self._say(f"{_plan_line(event.plan)}\n")
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


def _plan_line(plan: MemoryPlan) -> str:
    return (
        f"memory: peak about {size(plan.peak)} (weights {size(plan.weights)}, recorded {size(plan.activations)}, "
        f"program {size(plan.base)}), {size(plan.available)} available"
    )
