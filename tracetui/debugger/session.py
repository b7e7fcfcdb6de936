"""What a debug session offers the screen and the command line, without torch.

The model runs in a thread of its own; what happens there arrives as events, in order, on that thread.
A listener must only pass them on (`post_message`), never work on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tracetui.analysis.memory import MemoryPlan
from tracetui.debugger.fault import NO_FAULT, Fault
from tracetui.expr.edit import Edit, EditTally
from tracetui.expr.stop import Stop
from tracetui.expr.watcher import Hit, Tally
from tracetui.recipe.fields.field import ConfigReport
from tracetui.recipe.prompts import NO_PROMPT, Prompts
from tracetui.recording.cut import FROM_THE_START, Cut
from tracetui.recording.outline import Module as Module
from tracetui.recording.record import Record, Token
from tracetui.recording.stepping import Target
from tracetui.recording.trace import EMPTY_TRACE, Trace


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One prompt as the model gets it."""

    text: str
    """What is encoded; empty for token ids."""
    tokens: tuple[Token, ...]
    typed: tuple[str, ...] = ()
    """Names of special tokens that stand in what the user typed, and became these tokens."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What prompts would be if they were run."""

    prompts: Prompts
    rows: tuple[PromptRow, ...] = ()
    problem: str = ""
    """Why they can't be run."""


NO_PREVIEW = Preview(NO_PROMPT)


@dataclass(frozen=True, slots=True)
class Preparing:
    """The session is at work before a run: importing, building, reading."""

    what: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """The model is built, on no memory: its tree is known and a prompt can be run."""

    outline: Module
    tokenizer: str
    """Which tokenizer is in use, in words."""
    notes: tuple[str, ...]
    """What a user should know, such as which weights are random."""
    plan: MemoryPlan
    """What the recipe's own prompt would take; nothing is refused yet."""
    preview: Preview = NO_PREVIEW
    """The recipe's own prompts."""


@dataclass(frozen=True, slots=True)
class Started:
    """A run began: the prompt is tokenised and the memory known. `trace` grows from now on."""

    trace: Trace
    plan: MemoryPlan
    cut: Cut = FROM_THE_START
    """Where it continues an earlier run: `trace` already has the records before, if they aren't computed again."""
    number: int = 0
    """What `start` returned; 0 where there is but one run."""


@dataclass(frozen=True, slots=True)
class Extended:
    """A pass is over and the model goes on with the token that it chose; `trace` has it, and grows from now on."""

    trace: Trace


@dataclass(frozen=True, slots=True)
class Progress:
    """Something slow goes on inside a step: weights being made or read. `done` of `total` bytes."""

    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Advanced:
    """The frontier moved while the model runs on; sent at most some ten times a second."""

    frontier: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The model waits at the last record: index `frontier - 1`."""

    frontier: int


@dataclass(frozen=True, slots=True)
class Fired:
    """Stops hold at the newest record; sent before Stopped, and also by runs that wait for nobody."""

    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to be read beside what happens, as of a stop that holds on another rank."""

    text: str


@dataclass(frozen=True, slots=True)
class Edited:
    """An edit has changed what is recorded next under a key."""

    edit: str
    key: str


@dataclass(frozen=True, slots=True)
class Tallied:
    """The model has made its last record: what came of each stop and each edit. Sent before Finished."""

    tallies: tuple[Tally, ...]
    edits: tuple[EditTally, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over. `trace` has every record and doesn't change any more."""

    trace: Trace
    cancelled: bool = False
    number: int = 0
    """Of the run, as in Started."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A recording is there: all of it is behind the frontier from the start, and nothing will run."""

    trace: Trace
    outline: Module


@dataclass(frozen=True, slots=True)
class Viewed:
    """Another view of what was recorded, such as one rank's; nothing else is different."""

    trace: Trace
    outline: Module


@dataclass(frozen=True, slots=True)
class Failed:
    """Building or running failed; records made so far stay. `log` is where the traceback lies, if anywhere."""

    error: str
    log: str = ""
    fault: Fault = NO_FAULT
    """Where, if it was the model's own code."""
    trace: Trace = EMPTY_TRACE
    """What was recorded until then, if it was."""
    number: int = 0
    """Of the run, as in Started."""


@dataclass(frozen=True, slots=True)
class Explained:
    """The configuration's report, as it was asked for; None if there can't be one, and why."""

    report: ConfigReport | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Sourced:
    """The code of the module behind a site, as it was asked for; without lines, `error` says why."""

    site: str
    path: str = ""
    """The module's own."""
    kind: str = ""
    """Its class."""
    file: str = ""
    first: int = 1
    """The number of the first line in the file."""
    lines: tuple[str, ...] = ()
    at: int = 0
    """The line to look at, counted from 0 in `lines`."""
    says: str = ""
    """What that line is, in words."""
    error: str = ""


Event = (
    Preparing
    | Prepared
    | Preview
    | Started
    | Extended
    | Progress
    | Advanced
    | Fired
    | Edited
    | Remark
    | Stopped
    | Tallied
    | Finished
    | Opened
    | Viewed
    | Failed
    | Explained
    | Sourced
)
Listener = Callable[[Event], None]


class Session(Protocol):
    """One model under the debugger. Every method returns at once and may be called from any thread."""

    def start(self, prompts: Prompts, until: Target) -> int:
        """Run prompts, together, from their first token; a run in progress is cancelled first.

        Returns the number that Started, Finished and Failed of this run bear: those of an earlier one may still come.
        """
        ...

    def preview(self, prompts: Prompts) -> None:
        """Have a Preview sent of prompts that are being typed, as soon as no run is under way; the newest counts."""
        ...

    def advance(self, until: Target) -> None:
        """Let a waiting model run on to the first new record that `until` accepts, or to the end."""
        ...

    def generate(self, count: int, until: Target) -> None:
        """Have a model whose run has ended, or as soon as it has, choose `count` more tokens, a pass each.

        The trace goes on growing.
        """
        ...

    def rerun(self, at: int, edits: tuple[Edit, ...], until: Target) -> int:
        """Run the last run again from the layer on in which its record `at` lies, with these edits.

        What lies before comes from the record, if it can, with the edits of then. A run in progress is left first.
        Returns its number, as `start` does.
        """
        ...

    def stop_at(self, stops: tuple[Stop, ...]) -> None:
        """Have this run and later ones wait where one of these holds, instead of where the last ones held."""
        ...

    def edit(self, edits: tuple[Edit, ...], at: int) -> None:
        """Have this run changed by these edits from its record `at` on, and later ones from their beginning.

        A waiting model changes the record at which it waits, if that is `at`, when it goes on. One that is further
        than `at` by then changes its next record: the run's own list says which that was.
        """
        ...

    def pause(self) -> None:
        """Stop a running model at its next record."""
        ...

    def cancel(self) -> None:
        """Leave the run at its next record, or between two blocks of weights being made."""
        ...

    def explain(self) -> None:
        """Have the configuration explained; an Explained event answers as soon as the model isn't at work."""
        ...

    def source(self, site: str) -> None:
        """Have the code behind a site looked up; a Sourced event answers as soon as the model isn't at work."""
        ...

    def close(self, timeout: float) -> bool:
        """Cancel, release the weights and end the thread; False if it still ran after `timeout` seconds."""
        ...


def until_first(record: Record) -> bool:
    """A target: the very first record."""
    return True


def until_end(record: Record) -> bool:
    """A target: none, run to the end."""
    return False
