"""What the screen knows before a session exists: the recipe in plain words, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tracetui.debugger.memory.restored import NOTHING_RECALLED, Restored
from tracetui.expr.edit import Edit
from tracetui.expr.model_facts import NO_FACTS, ModelFacts
from tracetui.expr.stop import DEFAULT_STOPS, Stop
from tracetui.recipe.find import recorded_name
from tracetui.recipe.prompts import NO_PROMPT, Prompts
from tracetui.recording.trace import RunInfo, Trace
from tracetui.text import count


@dataclass(frozen=True, slots=True)
class StartPage:
    """What is about to be run, as the first screen shows it."""

    title: str
    """The name the user gave: `llama3-2layer`."""
    description: str = ""
    """`Llama 3 8B, first two layers`."""
    dtype: str = ""
    weights: str = ""
    """Where the weights come from, in words: `random weights, seed 0`."""
    prompts: Prompts = NO_PROMPT
    """Offered in the prompt line."""
    tokenizer: str = ""
    """In words; replaced by what the session reports."""
    facts: tuple[tuple[str, str], ...] = ()
    """Fields of the config worth knowing, as name and value: `("hidden size", "4096")`."""
    notes: tuple[str, ...] = ()
    """Remarks that belong beside every result."""
    known: ModelFacts = NO_FACTS
    """What is known of the model's sites before it is built."""
    stops: tuple[Stop, ...] = DEFAULT_STOPS
    """Where a run waits from the start."""
    edits: tuple[Edit, ...] = ()
    """What a run changes from the start."""
    recalled: Restored = NOTHING_RECALLED
    """What was remembered of last time, and who remembers this time."""
    begins: bool = False
    """Whether the offered prompts run at once."""
    tour: bool = False
    """Whether the tour is shown over it."""
    recording: str = ""
    """Of what there is nothing to run for: in words, what was recorded; empty for a model."""

    def prompts_for(self, typed: str) -> Prompts:
        """What Enter runs for a line: the text typed, or for an empty one the batch that is offered."""
        return self.prompts.typed(typed) if typed or self.prompts.one_text else self.prompts

    @property
    def file_name(self) -> str:
        """The name offered for an export."""
        stem = "".join(char if char.isalnum() or char in "-_." else "-" for char in self.title).strip("-.")
        return f"{stem[:80] or 'trace'}.npz"


def page_of_recording(trace: Trace, path: Path) -> StartPage:
    """A recording in a file, described by what its header says."""
    run = trace.run
    return StartPage(
        title=run.model or path.name,
        description=_described(trace),
        dtype=str(run.recipe.get("dtype", "")),
        weights=_tokens(trace),
        tokenizer=run.tokenizer,
        notes=tuple(run.notes),
        # Of somebody's own tensors no statistics are stored: to look for NaN would read the whole file.
        stops=() if trace.dump else DEFAULT_STOPS,
        recording=_recording(trace, path),
    )


def _described(trace: Trace) -> str:
    if trace.dump:
        return "named tensors"
    when = _when(trace.run)
    return f"recorded {when}" if when else "recorded"


def _recording(trace: Trace, path: Path) -> str:
    if trace.dump:
        return f"{path.name}: a file of named tensors, with nothing to run"
    return f"{path.name}{'' if trace.complete else ', left before its end'}; {_again(trace.run)}"


def _again(run: RunInfo) -> str:
    if not run.model:
        return "there is no model to run"
    typed = recorded_name(run)
    return f"`tracetui run {typed}` runs the model" if typed else f"a run of {run.model}"


def _when(run: RunInfo) -> str:
    """`2026-03-01 12:00 UTC` of `2026-03-01T12:00:00Z`; whatever else stands there as it is."""
    date, t, clock = run.started.partition("T")
    return f"{date} {clock[:5]} UTC" if t and clock.endswith("Z") else run.started


def _tokens(trace: Trace) -> str:
    rows, tokens = len(trace.tokens), sum(map(len, trace.tokens))
    if not tokens:
        return ""
    return f"{f'{rows} prompts, ' if rows > 1 else ''}{count(tokens)} token{'s' if tokens != 1 else ''}"
