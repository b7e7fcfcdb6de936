"""What must hold of a live session whatever is done to it: of its events, its records and its model at rest."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from tests.hooks_left import hooks_left
from tests.tracer.plain_forward import DENSE_EDITS, EDITS, EXPERT_EDITS, Forward, Ids, Numbers, Plain, PlainEdit
from tests.tracer.recipes import recipe
from tracetui.debugger.session import (
    Advanced,
    Edited,
    Event,
    Explained,
    Extended,
    Failed,
    Finished,
    Fired,
    Prepared,
    Preparing,
    Preview,
    Progress,
    Sourced,
    Started,
    Stopped,
    Tallied,
)
from tracetui.models.weights.placeholder import Placeholder
from tracetui.recipe import Generation, Layers, Prompts, Recipe
from tracetui.recording.cut import FROM_THE_START, Cut
from tracetui.recording.record import BEFORE_EDIT, Record
from tracetui.recording.trace import EMPTY_TRACE, Trace
from tracetui.tracer.engine import Engine

PLANTED = "planted by the test"
_MIXTURE = {
    "model_type": "mixtral",
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 64,
    "head_dim": 8,
}
PROMPTS = (
    Prompts(ids=((5, 8, 299, 3),)),
    Prompts(ids=((7, 1),)),
    Prompts(ids=((5, 8, 299), (7, 1))),
)
DENSE = recipe(memory=0, dtype="float32", prompts=PROMPTS[0], generation=Generation(0, stop=()))
MIXTURE = replace(DENSE, config=_MIXTURE, layers=Layers(0, 2))
RECIPES = {
    "dense float32 streamed": DENSE,
    "dense bfloat16 resident": replace(DENSE, dtype="bfloat16", memory=2**40),
    "mixture float32 resident": replace(MIXTURE, memory=2**40),
    "mixture bfloat16 streamed": replace(MIXTURE, dtype="bfloat16"),
}
_WITHOUT_REFERENCE = {"router_logits", "router_scores", "selection_scores"}
"""Roles that a plain forward shows nowhere."""


def edits_for(of: Recipe) -> dict[str, PlainEdit]:
    """The edits that make sense of a recipe, by their text."""
    more = EXPERT_EDITS if of.config["model_type"] == "mixtral" else DENSE_EDITS
    return {edit.text: edit for edit in (*EDITS, *more)}


def was_before(record: Record) -> bool:
    """Whether a record holds what an edit replaced."""
    return record.site.endswith(f":{BEFORE_EDIT}")


@contextmanager
def model_threads() -> Iterator[None]:
    """As many of torch's threads as the session's own: on another number sums end in another last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) - 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Reference:
    """Plain forwards of one recipe, each made once."""

    def __init__(self, of: Recipe) -> None:
        self._plain = Plain(of)
        self._made: dict[object, Forward] = {}
        self.edits = edits_for(of)

    def run(self, ids: Ids, edits: dict[str, tuple[str, ...]], new: int) -> Forward:
        """edits: their texts, by the keys that they change."""
        asked = (ids, tuple(sorted(edits.items())), new)
        if asked not in self._made:
            by_key = {key: [self.edits[text] for text in texts] for key, texts in edits.items()}
            with model_threads():
                self._made[asked] = self._plain.run(ids, by_key, new)
        return self._made[asked]

    def of(self, trace: Trace) -> Forward:
        """What a plain run gives with the edits that a trace says its run had, from the records that it says."""
        rows = zip(trace.tokens, trace.prompt_lengths, strict=True)
        ids = tuple(tuple(token.id for token in row[:length]) for row, length in rows)
        edits = {record.key: found for record in trace.records if (found := self._edits_at(trace, record))}
        return self.run(ids, edits, max((record.pass_ for record in trace.records), default=0))

    def _edits_at(self, trace: Trace, record: Record) -> tuple[str, ...]:
        if was_before(record):
            return ()
        made = record.index - record.edited
        site = f"{record.site}#{record.part}" if record.part else record.site
        found = []
        for said in held_edits(trace):
            edit = self.edits[said.text]
            if site in edit.sites and said.holds(made):
                # A module is skipped with what came in: an edit that came later finds nothing kept.
                entered = trace.find(record.key.replace(record.site, f"{record.site}:input")) if edit.skips else None
                if entered is None or said.holds(entered.index + 1):
                    found.append(said.text)
        return tuple(found)


@dataclass(frozen=True)
class HeldEdit:
    """An edit as a run keeps it."""

    text: str
    first: int
    last: float

    def holds(self, index: int) -> bool:
        return self.first <= index < self.last


def held_edits(trace: Trace) -> list[HeldEdit]:
    """The edits of a run, with the records that they were for."""
    said = trace.run.recipe.get("edits", [])
    assert isinstance(said, list)
    found = []
    for text in said:
        first, last = (re.search(rf" {word} (\d+)", text) for word in ("from", "until"))
        plain = re.sub(r" (?:from|until) \d+", "", text)
        found.append(HeldEdit(plain, int(first[1]) if first else 0, int(last[1]) if last else np.inf))
    return found


def is_given(record: Record, plain: Forward) -> bool:
    """Whether a record is what a module was given where the plain forward keeps none."""
    return record.key not in plain.values and record.site.rpartition(":")[2] == "input"


def check_values(trace: Trace, reference: Reference) -> Forward:
    """Every record is there in its order, marked if it was edited, with the plain forward's own values, bit for bit."""
    plain = reference.of(trace)
    own = [record for record in trace.records if not was_before(record) and not is_given(record, plain)]
    known = [record.key for record in own if record.role not in _WITHOUT_REFERENCE]
    for key, expected in zip(known, plain.values, strict=False):
        assert key == expected, f"{key} where a plain forward has {expected}"
    assert len(known) <= len(plain.values)
    assert [record.index for record in trace.records] == list(range(len(trace)))
    for record in own:
        assert record.edited == (record.key in plain.before), f"{record.key}: edited {record.edited}"
        if record.key in plain.values:
            _same(trace.value(record).read(), plain.values[record.key], record.key)
        if record.edited:
            before = trace.records[record.index - 1]
            assert before.key == record.key.replace(record.site, f"{record.site}:{BEFORE_EDIT}")
            _same(trace.value(before).read(), plain.before[record.key], before.key)
    for row, chosen in zip(trace.tokens, plain.tokens, strict=True):
        assert [token.id for token in row] == chosen[: len(row)]
    return plain


def _same(one: Numbers, other: Numbers, key: str) -> None:
    same = one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    assert same, f"{key}: {one.shape} {one.ravel()[:3]}, expected {other.shape} {other.ravel()[:3]}"


@dataclass(frozen=True)
class PlainStop:
    """A stop as straight code."""

    text: str
    site: str
    """A regular expression for the whole site."""
    holds: Callable[[Record, Numbers], bool] = lambda record, values: True

    def is_hit(self, record: Record, values: Numbers) -> bool:
        return re.fullmatch(self.site, record.site) is not None and self.holds(record, values)


def _norm(values: Numbers) -> float:
    wide = values.astype(np.float64)
    return float(np.sqrt((wide[np.isfinite(wide)] ** 2).sum()))


STOPS = (
    PlainStop("layers.1.mlp", r"model\.layers\.1\.mlp"),
    PlainStop("*.o_proj", r".*\.o_proj"),
    PlainStop("self_attn:heads", r".*\.self_attn:heads"),
    PlainStop("logits", "logits"),
    PlainStop("if step == 17", ".*", lambda record, values: record.index == 17),
    PlainStop("*.mlp if norm > 0.0015", r".*\.mlp", lambda record, values: _norm(values) > 0.0015),
    PlainStop("*.self_attn if value[0,-1,3] > 0", r".*\.self_attn", lambda record, values: values[0, -1, 3] > 0),
    PlainStop("inf", ".*", lambda record, values: bool(np.isinf(values).any())),
    PlainStop("*.input_layernorm if pass_ == 1", r".*\.input_layernorm", lambda record, values: record.pass_ == 1),
)


class Events:
    """What a session says, held against the order in which it may say it."""

    def __init__(self) -> None:
        self.state = "idle"
        self.ends = 0
        self.fired: set[tuple[int, str]] = set()
        self.trace = EMPTY_TRACE
        self.cut = FROM_THE_START
        self.stopped_at = 0
        self._frontier = 0
        self._owed: int | None = None

    def hear(self, event: Event) -> None:
        if self._owed is not None:
            assert event == Stopped(self._owed), f"a stop held, and then came {event}"
            self._owed = None
        match event:
            case Preparing() | Prepared() | Preview():
                assert self.state == "idle", event
            case Explained() | Sourced():
                assert self.state != "over", event
            case Finished() | Failed():
                self._end(event)
            case _:
                self._go_on(event)

    def _go_on(self, event: Event) -> None:
        match event:
            case Started() | Extended():
                self._begin(event)
            case Fired(hits):
                self._move(hits[0].index + 1)
                # Where all is run again nobody waits before the cut: the user has been there.
                self._owed = hits[0].index + 1 if hits[0].index >= self.cut.record else None
                self.fired |= {(hit.index, hit.stop.text) for hit in hits}
            case Advanced(frontier):
                self._move(frontier)
            case Stopped(frontier):
                self._move(frontier)
                self.state = "waiting"
            case Progress() | Edited():
                self.state = "running" if self.state == "waiting" else self.state
            case Tallied():
                assert self.state in ("running", "waiting"), event
                self.state = "over"

    def _begin(self, event: Started | Extended) -> None:
        if isinstance(event, Started):
            assert self.state == "idle", event
            self.fired, self._frontier, self.cut = set(), 0, event.cut
        assert self.state != "over", event
        self.trace, self.state = event.trace, "running"

    def _move(self, frontier: int) -> None:
        assert self.state in ("running", "waiting")
        assert frontier >= self._frontier
        self._frontier, self.state = frontier, "running"

    def _end(self, event: Finished | Failed) -> None:
        if isinstance(event, Finished):
            never_began = event.trace is EMPTY_TRACE or not event.cancelled
            assert self.state != "idle" or never_began, event
            assert event.cancelled or event.trace.complete
            assert isinstance(event.trace.records, tuple)
            self.trace = event.trace if event.trace is not EMPTY_TRACE else self.trace
        else:
            assert self.state != "over", event
        self.state = "idle"
        self.ends += 1


@dataclass(eq=False)
class Brake:
    """The test's hand on the model's thread: it counts module calls, holds them up, and makes one fail."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    failing: tuple[str, str] | None = None
    failed: tuple[str, str] | None = None
    held: threading.Event = field(default_factory=threading.Event)
    _countdown: int = 0
    _go: threading.Event = field(default_factory=threading.Event)
    _paths: dict[int, str] = field(default_factory=dict)

    def watch(self, engine: Engine) -> None:
        modules = engine.runnable.built.module.named_modules()
        self._paths = {id(module): path for path, module in modules if ".experts." not in path}

    def hold_after(self, calls: int) -> None:
        """Hold the model up before its so-and-so-manieth module from now on."""
        self._go.clear()
        self.held.clear()
        self._countdown = calls

    def release(self) -> None:
        self._countdown = 0
        self._go.set()
        self.held.clear()

    def entered(self, module: nn.Module, _: Any) -> None:
        self._called("in", module)

    def left(self, module: nn.Module, _: Any, __: Any) -> None:
        self._called("out", module)

    def _called(self, kind: str, module: nn.Module) -> None:
        path = self._paths.get(id(module))
        if path is None or threading.current_thread().name != "model":
            return
        self.calls.append((kind, path))
        if self._countdown and (countdown := self._countdown - 1) == 0:
            self._countdown = countdown
            self.held.set()
            assert self._go.wait(60)
        elif self._countdown:
            self._countdown -= 1
        if self.failing == (kind, path):
            self.failing, self.failed = None, self.failing
            raise RuntimeError(PLANTED)


@cache
def brake() -> Brake:
    """The one brake of this process, on every module of whatever model it watches."""
    found = Brake()
    register_module_forward_pre_hook(found.entered)
    register_module_forward_hook(found.left)
    return found


def check_calls(calls: Sequence[tuple[str, str]], plain: Forward, cut: Cut, waits_at: Record | None) -> None:
    """The model has computed what a plain one does, in its order, and up to the record at which it waits no further.

    Of a run that took up another one, layers and passes before the cut don't run.
    """
    expected = [call for call in plain.calls if ".experts." not in call[1]]
    if not cut.whole:
        passes = [place for place, call in enumerate(expected) if call == ("in", "")]
        bounds = [*passes[cut.pass_ :], len(expected)]
        left_out = tuple(f"{layer}." for layer in cut.layers)
        run = [call for call in expected[bounds[0] : bounds[1]] if not f"{call[1]}.".startswith(left_out)]
        expected = [*run, *expected[bounds[1] :]]
    assert list(calls) == expected[: len(calls)]
    if waits_at is None:
        return
    kind, path = calls[-1]
    if not waits_at.role or waits_at.role == BEFORE_EDIT:
        ran = waits_at.module or ""
        assert (kind, path) in {("out", ran), ("out", "")} or ".experts" in ran, (waits_at, kind, path)
        return
    running: list[str] = []
    for one, name in calls:
        if one == "in":
            running.append(name)
        else:
            assert running.pop() == name
    assert any(waits_at.module == name or waits_at.module.startswith(f"{name}.experts.") for name in running), waits_at


def check_at_rest(engine: Engine, attention: str) -> None:
    """No hook is left on any module, no weight that may not stay in its place, and the kernels are the model's own."""
    model = engine.runnable.built.module
    assert not hooks_left(model)
    for module in model.modules():
        config = vars(module).get("config")
        if config is not None:
            assert config._attn_implementation == attention
            assert not str(getattr(config, "_experts_implementation", "")).startswith("tracetui")
    if engine.runnable.recipe.memory == 0:
        for module, slot in engine.runnable.weights.all_slots():
            held = module._parameters[slot.parameter]
            assert held is slot.placeholder, slot.spec.name
            assert isinstance(held, Placeholder), slot.spec.name
