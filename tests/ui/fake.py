"""A session over the numpy llama that runs when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.ui import tiny_llama
from tracetui.analysis.memory import MemoryPlan
from tracetui.debugger.session import (
    Advanced,
    Event,
    Explained,
    Extended,
    Failed,
    Finished,
    Fired,
    Listener,
    Module,
    Prepared,
    Preparing,
    Preview,
    Progress,
    PromptRow,
    Sourced,
    Started,
    Stopped,
    Tallied,
)
from tracetui.debugger.start_page import StartPage
from tracetui.expr.edit import Edit
from tracetui.expr.stop import Stop
from tracetui.expr.watcher import StopEvaluator
from tracetui.recipe import Prompts, texts
from tracetui.recipe.fields.field import ConfigField, ConfigReport, DecidedShape, Decides, FieldOrigin
from tracetui.recording.cut import cut_before
from tracetui.recording.record import Record, Token
from tracetui.recording.stepping import Target

OFFER = StartPage(
    title="llama3-2layer",
    description="Llama 3 8B, first two layers",
    dtype="float32",
    weights="random weights, seed 0",
    prompts=texts(tiny_llama.PROMPT),
    tokenizer="words",
    facts=(("layers", "2 of 32"), ("hidden size", "32"), ("heads", "4"), ("kv heads", "2"), ("vocabulary", "97")),
    notes=tiny_llama.NOTES,
)
PLAN = MemoryPlan(weights=2**31, kept=2**30, activations=2**20, working=2**24, base=2**28, available=2**34)


REPORT = ConfigReport(
    "llama3-2layer",
    "llama",
    "LlamaConfig",
    (),
    (
        ConfigField("hidden_size", 32, FieldOrigin.GIVEN, "Width of the residual stream.", decides=Decides(
            (DecidedShape("self_attn.q_proj.weight", (32, 32), (1,)), DecidedShape("lm_head.weight", (97, 32), (1,)))
        )),
        ConfigField("num_attention_heads", 4, FieldOrigin.GIVEN, "How many queries.", decides=Decides(
            (DecidedShape("self_attn.q_proj.weight", (32, 32), (0,)),)
        )),
        ConfigField("flavour", "[red]sweet[/]", FieldOrigin.UNDECLARED),
        *(ConfigField(f"field_{i}", i, FieldOrigin.DEFAULT, "One of many.") for i in range(30)),
    ),
    ("num_key_value_heads: 3 does not divide 4",),
)  # fmt: skip


def preview_of(prompts: Prompts) -> Preview:
    """Each text as it is, a token a word."""
    return Preview(prompts, tuple(PromptRow(text, tiny_llama.tokens_of(text)) for text in prompts.texts))


class FakeSession:
    """Runs in the caller's thread up to the next stop; with `hold`, only when `let_go` is called."""

    def __init__(self, listener: Listener, outline: Module | None = None, hold: bool = False) -> None:
        self.listener = listener
        self.hold = hold
        self.calls: list[str] = []
        self.prompts: list[str] = []
        self.previews: list[Prompts] = []
        self.empty: Callable[..., tiny_llama.Recorder] = tiny_llama.empty_recorder
        self.forward: Callable[[tiny_llama.Recorder], Iterator[Record]] = tiny_llama.forward
        self.rename: Callable[[Record], Record] = lambda record: record
        self._recorder = tiny_llama.empty_recorder()
        self._pass: Iterator[Record] = iter(())
        self._until: Target | None = None
        self.stops: tuple[Stop, ...] = ()
        self.edits: tuple[tuple[Edit, ...], int] = ((), 0)
        self._watcher = StopEvaluator(self._recorder.trace)
        listener(Preparing("building the model"))
        listener(Prepared(outline or tiny_llama.outline(), "words", tiny_llama.NOTES, PLAN))

    def send(self, *events: Event) -> None:
        for event in events:
            self.listener(event)

    def start(self, prompts: Prompts, until: Target) -> int:
        self.calls.append("start")
        self.prompts += prompts.texts
        self._recorder = self.empty(*prompts.texts)
        self._pass = self.forward(self._recorder)
        self._watcher = StopEvaluator(self._recorder.trace, self.stops)
        self.send(Started(self._recorder.trace, PLAN))
        self._go(until)
        return 0

    def preview(self, prompts: Prompts) -> None:
        self.previews.append(prompts)
        self.send(preview_of(prompts))

    def advance(self, until: Target) -> None:
        self.calls.append("advance")
        self._go(until)

    def generate(self, count: int, until: Target) -> None:
        self.calls.append(f"generate {count}")
        trace = self._recorder.trace
        for number in range(count):
            trace = trace.extended([Token(7 + number, b" more") for _ in trace.tokens], 1024 * (number + 1))
            self.send(Extended(trace))
        self._recorder.trace = trace
        self.send(Finished(trace.closed()))

    def rerun(self, at: int, edits: tuple[Edit, ...], until: Target) -> int:
        self.calls.append(f"rerun {at}")
        self.edits = (edits, at)
        cut = cut_before(self._recorder.trace, at)
        self._recorder = self.empty(*self.prompts[-1:])
        self._pass = self.forward(self._recorder)
        for _ in range(cut.taken):
            next(self._pass)
        self._watcher = StopEvaluator(self._recorder.trace, self.stops)
        self.send(Started(self._recorder.trace, PLAN, cut))
        self._go(until)
        return 0

    def stop_at(self, stops: tuple[Stop, ...]) -> None:
        self.stops = stops
        self._watcher.stops = stops

    def edit(self, edits: tuple[Edit, ...], at: int) -> None:
        self.edits = (edits, at)

    def pause(self) -> None:
        self.calls.append("pause")
        self._until = None
        self.send(Stopped(len(self._recorder.records)))

    def cancel(self) -> None:
        self.calls.append("cancel")
        self._until = None
        self._pass = iter(())
        self.send(Finished(self._recorder.trace, cancelled=True))

    def explain(self) -> None:
        self.calls.append("explain")
        if not self.hold:
            self.send(Explained(REPORT))

    def source(self, site: str) -> None:
        self.calls.append(f"source {site}")
        lines = ("class Fake:", "    def forward(self):", "        return [1]  # [/b] \x1b[31m")
        self.send(Sourced(site, site, "Fake", "fake/model.py", 40, lines, 1, "forward"))

    def close(self, timeout: float) -> bool:
        self.calls.append("close")
        return True

    def fail(self, error: str) -> None:
        self._until = None
        self.send(Failed(error, "/tmp/tracetui.log"))

    def let_go(self, records: int | None = None) -> None:
        """Run on, for that many records or to where the step ends; say how far at each tenth record."""
        until = self._until
        if until is None:
            return
        self._until = None
        for record in self._pass:
            self._recorder.records[-1] = record = self.rename(record)
            if record.index % 10 == 9:
                self.send(Advanced(len(self._recorder.records)))
            if hits := self._watcher.look(record):
                self.send(Fired(hits))
            if hits or until(record) or (records is not None and (records := records - 1) == 0):
                self.send(Stopped(len(self._recorder.records)))
                return
        self.send(Tallied(self._watcher.tallies))
        self.send(Finished(replace(self._recorder.trace, complete=True)))

    def _go(self, until: Target) -> None:
        self._until = until
        if self.hold:
            self.send(Progress("weights of model.layers.0", 3 * 2**28, 2**30))
        else:
            self.let_go()
