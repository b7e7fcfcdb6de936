"""The rank that has the screen: what it does the others are told of through the store."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from tracetui.debugger.session import Event, Extended, Failed, Finished, Remark, Started
from tracetui.errors import InputError, TracetuiError
from tracetui.expr.edit import Edit
from tracetui.expr.stop import Stop
from tracetui.expr.watcher import Hit
from tracetui.recording.npz import write_trace
from tracetui.recording.ranks.folder import open_ranks
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.tracer.gate import Gate
from tracetui.tracer.orders import GatherRanks, Generate, Ordered, Rerun, RunPrompts
from tracetui.tracer.ranks.asked_ranks import Gathering
from tracetui.tracer.ranks.meeting import GO_ON, HOLD, LEAVE, Meant
from tracetui.tracer.ranks.rank_order import Change, Does, RankOrder, edit_texts, stop_texts
from tracetui.tracer.ranks.together import FAILED, MeetingPoints, Ranks, wait_until
from tracetui.tracer.ranks.turns import Turns
from tracetui.tracer.ranks.visit import Visit

_LISTENING_SECONDS = 0.05
"""Between two looks of the first rank for Ctrl-C on another one."""
_ENDING_SECONDS = 5.0
"""That the first rank, which may hold the store, waits for the others to have read its last word."""
_WRITING_SECONDS = 3600.0
"""That it waits for the others' files."""


class Leading(Visit):
    """Its side of the visit. What users change may be told from any thread."""

    def __init__(self, ranks: Ranks, points: MeetingPoints, near: Ranks | None = None) -> None:
        super().__init__(ranks, points, near)
        self.turns: Turns | None = None
        self.later: Sequence[int] = ()
        """The ranks of later stages."""
        self._stops: tuple[Stop, ...] = ()
        self._news: SimpleQueue[tuple[int, int | None, Change]] = SimpleQueue()
        """Changes not made known yet: of which run, and from which of its records on edits stand."""
        self._asked: tuple[RankOrder, Gate, bool] | None = None
        """What is to be begun, by which gate, and whether by token ids."""
        self._gathering = Gathering(self._gathered)
        self._session_run = 0
        self._orders = 0
        self._count = 0
        """Of the run's records, as of the last meeting."""

    def stop_at(self, stops: Sequence[Stop]) -> None:
        """These stand from now on."""
        self._stops = tuple(stops)
        self._news.put((0, None, Change(stops=stop_texts(stops))))

    def edit(self, edits: Sequence[Edit], at: int, run: int) -> None:
        """These hold in a run from its record `at` on."""
        self._news.put((run, at, Change(edits=edit_texts(edits))))

    def asks(self, order: Ordered) -> None:
        """Something is to be run; the others are told once it has begun here, for it may be refused yet."""
        match order:
            case Generate(count):
                asked = RankOrder(Does.GENERATE, count=count)
            case Rerun():
                asked = RankOrder(Does.AGAIN)
            case _:
                asked = RankOrder(Does.RUN)
        self._asked = asked, order.gate, isinstance(order, RunPrompts) and bool(len(order.prompts))

    def heard(self, event: Event, put: Callable[[GatherRanks], None]) -> list[Event]:
        """What the session tells, with what comes of it on other ranks; `put` hands an order to the model's thread.

        Raises InputError where another rank can't begin what begins here.
        """
        if isinstance(event, Started | Extended):
            self._begin(event)
        elif isinstance(event, Finished | Failed) and self._orders:
            self.ranks.write(self.named_of_run("left"), "")
            if isinstance(event, Finished):
                return [*self._told_later(), replace(event, trace=self._with_ranks(event.trace, put))]
        return [event]

    def _begin(self, event: Started | Extended) -> None:
        if self._asked is None:
            return
        (order, gate, typed), self._asked = self._asked, None
        self.log, self._session_run, self._count = gate.edits, gate.number, len(event.trace.records)
        if order.does == Does.GENERATE:
            self._make_known()
        ids = [[token.id for token in row] for row in event.trace.tokens] if typed else None
        edits = () if order.does == Does.GENERATE else edit_texts(gate.edits.edits)
        self._order(replace(order, ids=ids, stops=stop_texts(self._stops), edits=edits, changes=self._changes))
        if self.turns is not None:
            self.turns.run_begins()
        self._agree_to_begin()

    def _told_later(self) -> Iterator[Remark]:
        """The stops that held in later stages, where nobody waited."""
        for rank in self.later:
            name = self.named_of_run(f"hits{rank}")
            if wait_until(lambda name=name: self.ranks.read(name) is not None, _ENDING_SECONDS):  # type: ignore[misc]
                yield from (Remark(line) for line in json.loads(self.ranks.read(name) or "[]"))

    def wait_for(self, name: str) -> str:
        """Nobody goes before the first rank."""
        return "0"

    def takes_turn(self, changes: int) -> None:
        """It begins."""

    def arrived(self, record: Record, hits: Sequence[Hit], holds: bool, leaves: bool) -> Meant | None:
        return self._met(record, hits, LEAVE if leaves else HOLD if holds else GO_ON)

    def _come(self, record: Record) -> None:
        self._count = record.index + 1
        self._make_known()
        self.ranks.write(self.name("at"), f"{self._meetings} {self._changes}")

    def goes_on(self, leaves: bool) -> None:
        self._make_known(is_held=True)
        self.ranks.write(self.name("on"), f"{self._meetings} {self._changes} {int(leaves)}")

    def _make_known(self, is_held: bool = False) -> None:
        """Write down what was changed since, and have it hold here from the same record on."""
        while not self._news.empty():
            run, at, change = self._news.get()
            if at is not None and run != self._session_run:
                continue
            if is_held and at is not None and at < self._count:
                change = Change(edits=change.edits, is_late=True)
            self.ranks.write(self.name(f"change{self._changes}"), change.text)
            self._changes += 1
            self._apply(change, self._count)

    def ends(self, interrupted: bool = False) -> None:
        """There are no more runs. Waits until the others know: the store may be gone with this rank."""
        others = range(1, self.ranks.world)
        self._gathering.close()
        with suppress(TracetuiError):
            # They, or the store, may be gone.
            self.ranks.write(self.name("over"), "")
            self._order(RankOrder(Does.END, is_interrupted=interrupted))
            wait_until(
                lambda: all(self.ranks.read(self.name(f"left{rank}")) is not None for rank in others), _ENDING_SECONDS
            )

    def _order(self, order: RankOrder) -> None:
        self.run = self._orders
        self.ranks.write(self.name(f"order{self._orders}"), order.text)
        self._orders += 1

    def _with_ranks(self, trace: Trace, put: Callable[[GatherRanks], None]) -> Trace:
        """The trace of a run that has ended, from which those of the others can be asked for."""
        if not len(trace):
            return trace
        return replace(trace, by_rank=self._gathering.ranks_of(trace, self.ranks.world, put))

    def _gathered(self, trace: Trace, folder: Path) -> Trace:
        """What all ranks recorded in the last run, of which `trace` is this one's; written into a folder and opened.

        Raises InputError where a rank can't write, or where its file isn't here: folders may be of another machine.
        """
        number = self._orders
        folder.mkdir(parents=True)
        self._order(RankOrder(Does.WRITE, folder=str(folder)))
        write_trace(trace, folder / file_of(0))
        names = {rank: self.name(f"wrote{number}/{rank}") for rank in range(1, self.ranks.world)}
        wait_until(lambda: all(self.ranks.read(name) is not None for name in names.values()), _WRITING_SECONDS)
        for rank, name in names.items():
            if (problem := self.ranks.read(name)) != "":
                raise InputError(f"rank {rank}: {problem or 'its records took more than an hour to write'}")
            if not (folder / file_of(rank)).exists():
                raise InputError(f"{folder}: the file of rank {rank} isn't there: TMPDIR must be seen by all machines")
        return open_ranks(folder)

    @contextmanager
    def listening(self, hear: Callable[[], object]) -> Iterator[None]:
        """For the length of a `with`, hear of Ctrl-C on another rank, or that the store is gone, on another thread.

        hear: is called again where it returns False, as long as there is no screen to be ended.
        """
        over = threading.Event()

        def listen() -> None:
            while not over.wait(_LISTENING_SECONDS):
                if self._is_interrupted() and hear() is not False:
                    return

        listener = threading.Thread(target=listen, name="ranks", daemon=True)
        listener.start()
        try:
            yield
        finally:
            over.set()
            # It can be waiting for an answer of a screen that has just ended.
            listener.join(_ENDING_SECONDS)

    def _is_interrupted(self) -> bool:
        try:
            return self.ranks.read(FAILED) is not None or self.ranks.read(self.name("interrupted")) is not None
        except TracetuiError:
            return True


def file_of(rank: int) -> str:
    """What the file of a rank is called."""
    return f"rank{rank:05}.npz"
