"""A trace without a screen: progress on the terminal, a file, a few lines about the result."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

from tracetui.analysis.diff.report import Report, report
from tracetui.analysis.diff.rounding.tolerance import Limits
from tracetui.analysis.health.diagnosis import diagnose
from tracetui.analysis.mapping.rules import Rules
from tracetui.analysis.prediction import next_tokens, scores_of_tokens
from tracetui.debugger.fault import ModelError
from tracetui.debugger.session import Event, Fired, Preparing, Tallied
from tracetui.errors import Cancelled, InputError, RunError, TracetuiError, in_words
from tracetui.expr.edit import EditTally
from tracetui.expr.stop import Stop
from tracetui.expr.watcher import Hit, Tally
from tracetui.formats.collector import collector_paused_for_good
from tracetui.json_lines import JsonLines
from tracetui.logs import write_log
from tracetui.recipe import Recipe
from tracetui.recipe.options import PLACE_FLAGS
from tracetui.recipe.recorded.again import recipe_again
from tracetui.recording.npz import write_trace
from tracetui.recording.record import Token
from tracetui.recording.spill import whereabouts
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError
from tracetui.signals import told_to_end
from tracetui.stderr_lines import Teller
from tracetui.text import size, visible
from tracetui.views.health.lines import health_lines, near_limit_lines
from tracetui.views.run.as_json import run_document
from tracetui.views.run.edits import unapplied_lines
from tracetui.views.run.generated import generated_lines
from tracetui.views.run.stops import fired_lines, unfired_lines
from tracetui.views.tokens import token_label

Made = TypeVar("Made")
_NOTICE_SECONDS = 0.1
_PREDICTIONS = 5
_SHOWN = 60
"""Characters of a row's text."""
_WIDTH = 110
"""Characters of a line in tables."""


class Stops:
    """The stops of a run that waits for nobody, and what came of them."""

    def __init__(self, stops: Sequence[Stop] = ()) -> None:
        self.stops = tuple(stops)
        self.hits: list[Hit] = []
        self.tallies: tuple[Tally, ...] = ()
        self.edits: tuple[EditTally, ...] = ()

    def hear(self, event: Event) -> None:
        if isinstance(event, Fired):
            self.hits.extend(event.hits)
        elif isinstance(event, Tallied):
            self.tallies, self.edits = event.tallies, event.edits


def run_and_write(
    recipe: Recipe,
    output: Path | None,
    lines: JsonLines | None = None,
    compress: bool = False,
    stops: Stops | None = None,
) -> Iterator[str]:
    """Run a recipe's prompts to the end, write the trace, and tell what came out, line by line; or in JSON's `lines`.

    `stops` knows afterwards which of them fired. Raises InputError for bad input, RunError if the model or the
    writing fails.
    """
    stops = stops or Stops()
    teller = Teller(quiet=lines is not None)
    if recipe.factory is not None and lines is None:
        teller.warn(f"note: {note}" for note in recipe.notes)
    teller.tell(Preparing("loading torch and transformers"))
    failed: ModelError | None = None
    try:
        trace = _run(recipe, teller, stops, lines)
    except ModelError as error:
        # Nothing that was recorded is lost.
        failed, trace = error, error.trace
    written = None if output is None else write_trace(trace, output, teller.written, compress)
    teller.clear()
    if lines is not None:
        file = None if output is None else str(output)
        document = run_document(trace, teller.plan, file, written, stops.hits, stops.tallies, stops.edits)
        lines.result(document, int(bool(stops.hits or failed)), None if failed is None else str(failed))
    elif failed is not None:
        yield f"{_written(trace, output, written)} (until the model failed)"
        yield from _health(trace, stops.hits)
    else:
        yield from _told(trace, output, written)
        yield from _health(trace, stops.hits)
        unmet = (*unfired_lines(stops.tallies), *unapplied_lines(stops.edits))
        teller.warn((*unmet, *near_limit_lines(trace)))
    if failed is not None:
        raise failed


def told_run(
    recipe: Recipe, stops: Stops, run: Callable[[Recipe, Callable[[Event], None], Sequence[Stop]], Made]
) -> Made:
    """What a run makes, with its progress on stderr."""
    teller = Teller(quiet=False)
    teller.tell(Preparing("loading torch and transformers"))

    def heard(event: Event) -> None:
        teller.tell(event)
        stops.hear(event)

    try:
        return run(recipe, heard, stops.stops)
    finally:
        teller.clear()


def result_lines(trace: Trace, output: Path | None, written: int | None, stops: Stops) -> Iterator[str]:
    """What came out, and every stop that fired."""
    yield from _told(trace, output, written)
    yield from _health(trace, stops.hits)


def _health(trace: Trace, hits: Sequence[Hit]) -> Iterator[str]:
    """Every stop that fired, and for the first tensor that isn't finite who made it."""
    yield from fired_lines(trace, hits)
    bad = next((hit.index for hit in hits if hit.stop.watches_health), None)
    if bad is not None:
        yield from (line.text for line in health_lines(trace, diagnose(trace, trace.records[bad]), _WIDTH))


def told_report(a: Trace, b: Trace, rules: Rules, limits: Limits, fuzzy: bool) -> Report:
    """A comparison with its progress on stderr. Raises as `report` does."""
    teller = Teller(quiet=True)
    try:
        return report(a, b, rules, limits, fuzzy, teller.compared)
    finally:
        teller.clear()


def rerun_exactly(
    traces: tuple[Trace, Trace], names: tuple[str, str], model: str | None, emit: Callable[[Event], None]
) -> tuple[str, Trace]:
    """Run B again in float64, or A where B can't be; which it was, `A` or `B`, and what was recorded.

    Raises InputError if neither says how, RunError if the model fails.
    """
    problems = []
    for side in (1, 0):
        try:
            recipe = recipe_again(traces[side], names[side], model)
        except InputError as error:
            problems.append(str(error))
            continue
        return "AB"[side], _traced(recipe, emit, exact=True)
    raise InputError("--noise: " + "; ".join(problems))


def told_rerun(traces: tuple[Trace, Trace], names: tuple[str, str], model: str | None) -> tuple[str, Trace]:
    """The same with its progress on stderr."""
    teller = Teller(quiet=True)
    teller.tell(Preparing("loading torch and transformers"))
    try:
        return rerun_exactly(traces, names, model, teller.tell)
    finally:
        teller.clear()


def _told(trace: Trace, output: Path | None, written: int | None) -> Iterator[str]:
    yield _written(trace, output, written)
    yield from generated_lines(trace)
    try:
        for row in range(len(trace.tokens)):
            yield from _predictions(trace, row)
    except NotKeptError:
        yield "note: the logits were not kept, so that no next tokens are shown (--keep logits)"
    yield from (f"note: {visible(note, 300)}" for note in trace.run.notes)


def _written(trace: Trace, output: Path | None, written: int | None) -> str:
    """`run.npz: 43 records, 1.20 MiB`; without a file how to have one."""
    if written is None:
        return f"{_counted(trace)}; give -o F.npz to keep them"
    return f"{visible(str(output), 200)}: {_counted(trace)}, {size(written)}"


def _counted(trace: Trace) -> str:
    """`43 records, 12 spilled to disk, 3 statistics only`."""
    counts = Counter(filter(None, map(whereabouts, trace.values)))
    return ", ".join(
        [
            f"{len(trace)} record{'' if len(trace) == 1 else 's'}",
            *(f"{times} {what}" for what, times in sorted(counts.items())),
        ]
    )


def _predictions(trace: Trace, row: int) -> Iterator[str]:
    """The likeliest next tokens of one row, under a line that says which where there are several."""
    predictions = next_tokens(trace, _PREDICTIONS, row)
    if not predictions and scores_of_tokens(trace) is not None:
        yield f"  row {row}: every logit is NaN, so that no next token is likelier than another"
    if predictions and len(trace.tokens) > 1:
        yield f"row {row} of 0–{len(trace.tokens) - 1}, {len(trace.tokens[row])} tokens: {_shown(trace.tokens[row])}"
    elif predictions:
        # The last token that was added went through no pass: what follows it nobody knows.
        yield f"{'what the last of them was taken from' if trace.generated else 'next'}, most probable first:"
    for prediction in predictions:
        text = token_label(prediction.token)
        yield f"  {prediction.probability:8.4%}  logit {prediction.logit:8.3f}  {prediction.token.id:>7}  {text}"


def _shown(tokens: Sequence[Token]) -> str:
    """A prompt on one line: its text, cut, or its ids."""
    text = visible(b"".join(token.bytes for token in tokens).decode(errors="replace"), _SHOWN)
    return text or visible(",".join(str(token.id) for token in tokens[:_SHOWN]), _SHOWN)


def _run(recipe: Recipe, teller: Teller, stops: Stops, lines: JsonLines | None) -> Trace:
    def heard(event: Event) -> None:
        teller.tell(event)
        stops.hear(event)
        if lines is not None:
            lines.tell(event)

    try:
        # What a model's own code prints is no line of JSON.
        with nullcontext() if lines is None else redirect_stdout(sys.stderr):
            return _traced(recipe, heard, stops=stops.stops, names=PLACE_FLAGS)
    finally:
        teller.clear()


def _traced(recipe: Recipe, emit: Callable[[Event], None], **options: Any) -> Trace:
    """options: those of `trace_recipe`."""
    with collector_paused_for_good():
        from tracetui.tracer.run import trace_recipe

    try:
        return trace_recipe(recipe, emit=emit, **options)
    except ModelError as error:
        log = write_log("run", error.__cause__ or error)
        error.details += (f"  the log is in {log}",) if log else ()
        raise
    except (TracetuiError, Cancelled, KeyboardInterrupt):
        raise
    except BaseException as error:
        if isinstance(error, SystemExit) and told_to_end() is not None:
            raise
        log = write_log("run", error)
        raise RunError(f"the model failed: {in_words(error)}{log and f'; the log is in {log}'}") from error
