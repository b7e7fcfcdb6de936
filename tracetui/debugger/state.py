"""What the whole screen shows, as one frozen value, and how steps change it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType

from tracetui.analysis.health.marks import Marks
from tracetui.analysis.memory import MemoryPlan
from tracetui.debugger.fault import NO_FAULT, Fault
from tracetui.debugger.session import NO_PREVIEW, Module, Preview, Progress
from tracetui.debugger.stop_book import NO_STOPS, StopBook
from tracetui.expr.edit import Edit
from tracetui.expr.watcher import Hit
from tracetui.recording.outline import NO_MODULE
from tracetui.recording.record import Record, Token
from tracetui.recording.stepping import Step, ahead, back, layer_back
from tracetui.recording.trace import EMPTY_TRACE, Trace

NO_PLAN = MemoryPlan(0, 0, 0, 0, 0, 0)
NO_PROGRESS = Progress("", 0, 0)
NO_MARKS: Marks = MappingProxyType({})
NO_RECORD = Record(-1, "", (), "", 0)


class Phase(Enum):
    """How far the session is; the value is the word shown."""

    PREPARING = "preparing…"
    READY = "ready"
    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"
    RECORDED = "recording"


RUNNING = frozenset({Phase.STARTING, Phase.RUNNING})
UNDER_WAY = RUNNING | {Phase.STOPPED}


@dataclass(frozen=True, eq=False, slots=True)
class ScreenState:
    """One moment of the debugger. Compared by identity: it holds arrays further down."""

    phase: Phase = Phase.PREPARING
    what: str = ""
    """What the session is at while it prepares."""
    outline: Module = NO_MODULE
    tokenizer: str = ""
    notes: tuple[str, ...] = ()
    trace: Trace = EMPTY_TRACE
    plan: MemoryPlan = NO_PLAN
    preview: Preview = NO_PREVIEW
    """What Enter would run, if it has been worked out."""
    number: int = 0
    """Of the run that was asked for last; 0 where the session counts none."""
    frontier: int = 0
    """How many records exist, as far as the session has told."""
    cursor: int = -1
    """Index of the record looked at; -1 before the first."""
    overview: bool = False
    """Whether a recording is looked at as a whole: until a record is gone to. The cursor is at its end then."""
    following: bool = True
    """Whether the cursor goes to where the model stops next."""
    progress: Progress = NO_PROGRESS
    error: str = ""
    log: str = ""
    fault: Fault = NO_FAULT
    """Where the model's own code failed, if it did."""
    stops: StopBook = NO_STOPS
    edits: tuple[Edit, ...] = ()
    """What the run, and later ones, change."""
    health: Marks = field(default_factory=lambda: NO_MARKS)
    """Which records are not finite and what they have to do with it, as far as somebody has asked."""
    waiting: int = 0
    """Steps asked for while the model runs, taken one after another as it stops."""
    head: int = 0
    """The attention head looked at, counted in query heads."""
    batch: int = 0
    token: int = -1
    """The position looked at; -1 for none."""
    token_origin: str = ""
    """The pane whose own cursor chose the position, and must not be sent there again."""

    @property
    def record(self) -> Record:
        """The record under the cursor, or NO_RECORD."""
        return self.trace.records[self.cursor] if self.cursor >= 0 else NO_RECORD

    @property
    def hits(self) -> tuple[Hit, ...]:
        """The stops that hold at the record under the cursor."""
        return self.stops.at(self.cursor)

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens of the prompt looked at."""
        return self.trace.tokens[self.batch] if self.batch < len(self.trace.tokens) else ()

    @property
    def longest(self) -> int:
        """Positions of a prompt in the recorded tensors: shorter prompts of a batch are padded to as many."""
        return max(self.trace.prompt_lengths, default=0)

    @property
    def generated(self) -> int:
        """How many of the last tokens of the prompt looked at the model chose."""
        return self.trace.generated[self.batch] if self.batch < len(self.trace.generated) else 0

    @property
    def running(self) -> bool:
        return self.phase in RUNNING

    @property
    def under_way(self) -> bool:
        """Whether a run exists that has not ended."""
        return self.phase in UNDER_WAY


def starting(state: ScreenState) -> ScreenState:
    """A run has been asked for; what the last one recorded stays on view until the new one begins."""
    return replace(state, number=0, phase=Phase.STARTING, progress=NO_PROGRESS, error="", log="", fault=NO_FAULT)


def resumed(state: ScreenState) -> ScreenState:
    """The model was asked to run on, and the cursor follows it."""
    return replace(state, phase=Phase.RUNNING, following=True, progress=NO_PROGRESS)


def moved(state: ScreenState, cursor: int) -> ScreenState:
    """The cursor at another record, within what is recorded; a running model no longer takes it along."""
    inside = max(0, min(cursor, state.frontier - 1)) if state.frontier else -1
    return replace(state, cursor=inside, following=False, overview=False)


def entered(state: ScreenState, step: Step) -> ScreenState | None:
    """From a recording as a whole to its first record, or on to its first stop or its end; None: not known yet."""
    if step is not Step.END:
        return moved(state, 0)
    if state.stops.open_before(-1, state.frontier):
        return None
    first = state.stops.after(-1)
    return moved(state, state.frontier - 1 if first is None else first)


def forward(state: ScreenState, step: Step) -> int | None:
    """Where a step leads among the recorded records, or None if the model has to run for it."""
    return ahead(state.trace.records, state.cursor, step, state.frontier)


def backward(state: ScreenState) -> int:
    return back(state.trace.records, state.cursor)


def layer_backward(state: ScreenState) -> int:
    return layer_back(state.trace.records, state.cursor)


def token_moved(state: ScreenState, by: int, origin: str = "") -> ScreenState:
    """The token cursor moved within the prompt; from nowhere it enters at the end it comes from."""
    count = len(state.tokens)
    if not count:
        return state
    start = state.token if state.token >= 0 else (-1 if by > 0 else count)
    return replace(state, token=max(0, min(count - 1, start + by)), token_origin=origin)


def row_moved(state: ScreenState, by: int) -> ScreenState:
    """Another prompt of the batch looked at, the position kept as far as that prompt has it."""
    moved_to = replace(state, batch=max(0, min(len(state.trace.tokens) - 1, state.batch + by)))
    return replace(moved_to, token=min(state.token, len(moved_to.tokens) - 1), token_origin="")


def weights_place(record: Record) -> str:
    """Where the weights behind a record lie, within their layer: `self_attn.q_proj`; empty where it isn't known."""
    if record.site == "logits":
        return "lm_head"
    return record.site_in_layer.partition(":")[0].removeprefix(".")
