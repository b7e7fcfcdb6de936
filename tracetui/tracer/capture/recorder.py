"""Turning tensors that pass by into records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch

from tracetui.models.ranks.local import local_tensor
from tracetui.recording.health import all_finite
from tracetui.recording.keep import KEEP_ALL, ROOM, Keep, MatrixRole
from tracetui.recording.outline import NO_MODULE, Module
from tracetui.recording.parallel import WHOLE, Place
from tracetui.recording.record import CALLERS, AttentionCall, BadWeight, Record, Token, record_of
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Value
from tracetui.recording.weight_prints import WeightPrints
from tracetui.tracer.capture.captures import Captures
from tracetui.tracer.capture.later_trace import later_trace
from tracetui.tracer.capture.sources import Sources
from tracetui.tracer.capture.store import ValueStore
from tracetui.tracer.capture.values import TorchValue
from tracetui.tracer.deferred.later_records import LaterRecords
from tracetui.tracer.ranks.places import Places


class Recorder:
    """Grows one trace. Used by the model thread alone; readers see lists that only grow."""

    places: Places | None = None
    """Tells which part of the whole each record is, where several ranks run the model."""

    def __init__(
        self,
        run: RunInfo,
        tokens: tuple[tuple[Token, ...], ...],
        arrived: Callable[[Record], None],
        name_predictions: Callable[[Value], Mapping[int, Token]] = lambda logits: {},
        outline: Module = NO_MODULE,
        keep: Keep = KEEP_ALL,
        store: ValueStore | None = None,
        matrices: tuple[MatrixRole, ...] = (),
    ) -> None:
        """matrices: which of attention's are recorded beside what each kernel received."""
        self.wanted, self.matrices = keep, matrices
        self.store = store or ValueStore(ROOM, 2**63)
        self._records: list[Record] = []
        self._values: list[Value] = []
        self.append, self.later = (self._values.append, self._records.append), LaterRecords()
        """Adds a value, and then its record; and those that follow them."""
        self._attention: dict[str, AttentionCall] = {}
        self.examine: Callable[[str, torch.Tensor], None] | None = None
        """Looks for who made what isn't finite in a module's own code, by its role, before it is recorded."""
        self._bad_weights: dict[str, tuple[BadWeight, ...]] = {}
        self._vocabulary: dict[int, Token] = {}
        self.arrived = arrived
        """Is told of each record, and returns when the model may go on."""
        self.name_predictions = name_predictions
        self._captures = Captures(keep, self.store, matrices)
        self.snapshots = self._captures.snapshots
        self.sources = Sources(self.snapshots.base, self._values)
        self.pass_, self.calls = 0, dict[str, int]()
        """How often each module was called in this pass, by its path."""
        self.notes: list[tuple[int, str]] = []
        """What belongs beside every result, after how many records."""
        self._grown: list[tuple[int, int]] = []
        """How large the vocabulary was once tokens for a record, the first number, were added."""
        self.settle: Callable[[], None] = lambda: None
        """Describes what came by and is not described yet."""
        self.pass_over: Callable[[], None] = lambda: None
        """The same at the end of a pass, which may wait for others where nobody need know before."""
        self.when_asked: Callable[[], None] | None = None
        """Does so when somebody looks into the trace: of a whole call of which nothing is described yet."""
        self.repeats = False
        """Whether what runs now was recorded by an earlier run, as before the cut of one that is taken up again."""
        grown = (self._records, self._values, self._attention, self._vocabulary)
        self.trace = Trace(run, tokens, *grown, complete=False, outline=outline, bad_weights=self._bad_weights)

    def begin_pass(self) -> None:
        """What is recorded from now on belongs to the next pass; before its first record this is pass 0."""
        self.pass_over()
        self.pass_ += 1
        self.forget_pass()

    def forget_pass(self) -> None:
        """A pass is over and described."""
        self.calls.clear()
        self.forget()

    @property
    def keeps_all(self) -> bool:
        """Whether every value stays as it was captured until its pass is over, and nothing is computed beside."""
        return self.wanted.everything and not self.matrices and self.store.may_hold

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self._records) + self.later.count

    def extend(self, chosen: Sequence[Token | None], cache: int) -> Trace:
        """Add a token to each row that goes on; `cache` is the size in bytes of the model's own. Returns the trace."""
        self.pass_over()
        self.trace = self.trace.extended(chosen, cache)
        return self.trace

    def reads(self, weights: WeightPrints) -> None:
        """What is remembered of the weights that the model reads, which may grow while it runs; said before it does."""
        self.trace = replace(self.trace, weights=weights)

    def know(self, tokens: Mapping[int, Token]) -> None:
        """Tokens that are shown beside those of the prompt."""
        self._vocabulary.update(tokens)
        self._grown.append((len(self._records), len(self._vocabulary)))

    def note(self, text: str) -> None:
        """Something that belongs beside every result, told once."""
        if text not in (known for _, known in self.notes):
            self.notes.append((self.count, text))

    def bad_weights(self, site: str, found: tuple[BadWeight, ...]) -> None:
        """Keep which parameters of the module at a site hold NaN or infinities, and say so beside the result."""
        self._bad_weights[site] = found
        for weight in found:
            counted = f"{weight.count:,} of {weight.numel:,} are NaN or infinite, the first at {list(weight.first)}"
            self.note(f"weights: {weight.name}: {counted}")

    def given(self, tensor: torch.Tensor) -> None:
        """A tensor that the caller gave to the whole model."""
        self.sources.add(tensor, CALLERS)

    def source_of(self, tensor: torch.Tensor) -> int:
        """The number of the record that holds a tensor's very values; UNRECORDED if there is none."""
        return self.sources.of(tensor)

    def may_record(self, site: str, call: int, part: int) -> bool:
        """Whether a record that no run is bound to have can be made."""
        return True

    def repeated(self, site: str, tensor: torch.Tensor, call: int, part: int) -> tuple[torch.Tensor, Record] | None:
        """For a tensor that an earlier run recorded already: the edited tensor and its record; None for any other."""
        return None

    def failed_model(self) -> None:
        """The model's code has raised an error: what it was given is recorded, and nobody waits there."""
        self.settle()
        self.arrived = lambda record: None

    @contextmanager
    def passing(self, passed: Callable[[Record], None]) -> Iterator[None]:
        """Inside this `with`, nobody waits at new records; `passed` is called with each of them."""
        arrived, self.arrived = self.arrived, passed
        try:
            yield
        finally:
            self.arrived = arrived

    def resume(self, arrived: Callable[[Record], None]) -> None:
        """Go on after `finished` with another gate: the trace grows again."""
        self.arrived = arrived

    def is_finite(self, tensor: torch.Tensor) -> bool:
        """Whether no element of a tensor that is about to be recorded is NaN or infinite."""
        return self._captures.is_finite(tensor)

    def has_run(self, path: str) -> bool:
        """Whether the module at `path` was called in this pass."""
        return path in self.calls

    def call_number(self, path: str) -> int:
        """How often the module at `path` was called before in this pass; counts the call."""
        number = self.calls.get(path, 0)
        self.calls[path] = number + 1
        return number

    def record(
        self,
        site: str,
        tensor: torch.Tensor,
        *,
        depth: int,
        parent: str,
        call: int = 0,
        part: int = 0,
        seconds: float | None = None,
        provenance: str = "",
        edited: bool = False,
        inputs: tuple[int, ...] = (),
    ) -> Record:
        """Keep a tensor under a site, then wait at the gate if it ends the step."""
        if self.repeats and (repeated := self.repeated(site, tensor, call, part)) is not None:
            return repeated[1]
        tensor = self.local(tensor)
        mask = (role := site.partition(":")[2]) == "mask"
        value = self._captures.value(tensor, site, mask)
        if role and not mask and self.examine is not None and not all_finite(value):
            # Before the record is there: the model may be stopped at it.
            self.examine(role, tensor)
        # A mask is known by the first layer that has it, which a run that is taken up again leaves out.
        source = None if mask else tensor
        return self.add(value, source, site, depth, parent, call, seconds, provenance, inputs, part, edited)

    def capture(self, site: str, tensor: torch.Tensor) -> Value:
        """The value of a tensor that is about to be recorded."""
        return self._captures.value(tensor, site, shared=False)

    def add(
        self,
        value: Value,
        tensor: torch.Tensor | None,
        site: str,
        depth: int,
        parent: str,
        call: int,
        seconds: float | None = None,
        provenance: str = "",
        inputs: tuple[int, ...] = (),
        part: int = 0,
        edited: bool = False,
    ) -> Record:
        """Record a value that was captured, of the tensor by which it is known to whom it is given next."""
        index = len(self._records)
        if site == "logits" and tensor is not None:
            # Before the record is there to be looked at: the model may wait at it.
            self.know(self.name_predictions(value if isinstance(value, TorchValue) else TorchValue(tensor)))
        place = WHOLE
        if self.places is not None:
            place = self.places.of(site, value.shape, tensor, parent, part, self._made_of(tensor, inputs))
        if tensor is not None:
            self.sources.add(tensor, index)
        about = (self.pass_, call, part, seconds, provenance, edited, inputs, place)
        record = record_of(index, site, value.shape, value.dtype, depth, parent, *about)
        self._values.append(value)
        self._records.append(record)
        self.arrived(record)
        return record

    def _made_of(self, tensor: torch.Tensor | None, inputs: tuple[int, ...]) -> list[Record]:
        own = () if tensor is None else (self.sources.of(tensor),)
        return [self._records[number] for number in (*own, *inputs) if number >= 0]

    def place_of(
        self, site: str, tensor: torch.Tensor, parent: str, part: int = 0, inputs: tuple[int, ...] = (), **said: object
    ) -> Place:
        """Which part of the whole a plain tensor is that is about to be recorded."""
        if self.places is None:
            return WHOLE
        return self.places.expected(site, tuple(tensor.shape), tensor, parent, part, self._made_of(tensor, inputs))

    def local(self, tensor: torch.Tensor) -> torch.Tensor:
        """The part that lies here of a tensor that may lie on several ranks."""
        return local_tensor(tensor) if self.places is None else self.places.local(tensor)

    def rename(self, record: Record, site: str) -> None:
        """Change the site of the newest record, before any other follows it."""
        self.trace.renamed(record.index, site)

    def attention_call(self, key: str, call: AttentionCall) -> None:
        """Note how the kernel of the query recorded under `key` was called."""
        self._attention[key] = call

    def forget(self) -> None:
        """Keep no tensor of the model's alive."""
        self._captures.forget()
        self.sources.forget()

    def failed(self, *notes: str) -> Trace:
        """The trace of a run that failed or was cancelled, with these notes added."""
        self.settle()
        self.later.write(self)
        closed = self.trace.closed()
        told = (*self.trace.run.notes, *(text for _, text in self.notes), *self.store.notes, *notes)
        return replace(closed, run=replace(closed.run, notes=told))

    def finished(self, notes: Sequence[str] = ()) -> Trace:
        """The trace, now unchanging; `notes` belong beside the result."""
        if self.when_asked is not None:
            return self._closed_when_asked(self.when_asked, notes)
        if self.later:
            self.forget()
            kept = replace(self.trace, weights=dict(self.trace.weights))
            return later_trace(kept, partial(self.later.write, self), self._told(notes), tuple)
        self.settle()
        self.forget()
        closed = self.trace.closed()
        return replace(closed, run=replace(closed.run, notes=self._told(notes)), complete=True)

    def _closed_when_asked(self, describe: Callable[[], None], notes: Sequence[str]) -> Trace:
        """The trace of a whole run, described when somebody looks into it."""
        told, self.when_asked = list[str](), None
        work = (describe, lambda: told.extend(self._told(notes)))
        return later_trace(self.trace, lambda: [each() for each in work], told, lambda: self.snapshots.values)

    def _told(self, notes: Sequence[str]) -> tuple[str, ...]:
        """All that belongs beside the result."""
        missed = self.wanted.unmatched(record.site for record in self._records)
        unmatched = (f"--keep {text}: no site has that name" for text in missed)
        return (*self.trace.run.notes, *(text for _, text in self.notes), *notes, *self.store.notes, *unmatched)
