"""The other ranks' side of a visit to the debugger: they wait for the first one's word, and never in a collective."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from tracetui.errors import Cancelled, InputError
from tracetui.expr.stop import Stop
from tracetui.expr.watcher import Hit
from tracetui.recording.record import Record
from tracetui.tracer.ranks.meeting import GO_ON, LEAVE, Meant
from tracetui.tracer.ranks.rank_order import RUNS, Change, RankOrder, stops_of
from tracetui.tracer.ranks.together import MeetingPoints, Ranks, wait_until
from tracetui.tracer.ranks.turns import Turns
from tracetui.tracer.ranks.visit import Visit, told


class Following(Visit):
    """Of one of them."""

    def __init__(
        self,
        ranks: Ranks,
        points: MeetingPoints,
        is_interrupted: Callable[[], bool],
        near: Ranks | None = None,
        is_later: bool = False,
    ) -> None:
        """is_interrupted: whether Ctrl-C was heard here. is_later: whether this is of a later stage than the first."""
        super().__init__(ranks, points, near)
        self.turns: Turns | None = None
        self._is_later = is_later
        self._told: list[str] = []
        """Of the stops that held here, where nobody waits."""
        self.count: Callable[[], int] = lambda: 0
        """How many records there are here."""
        self._is_interrupted = is_interrupted
        self._is_told = False
        self._begins = False
        """Whether the others wait to hear that something begins here."""
        self.hear_stops: Callable[[tuple[Stop, ...]], None] = lambda stops: None

    def arrived(self, record: Record, hits: Sequence[Hit], holds: bool, leaves: bool) -> Meant | None:
        if self._is_later:
            self._told += [told(self.ranks, hit) for hit in hits]
            return None
        meant = self._met(record, hits, LEAVE if leaves else GO_ON)
        if meant is None or not meant.holds:
            return meant
        changes, leaves = self._word("on")
        self.hear_changes(changes, record.index + 1)
        return Meant(LEAVE if leaves else GO_ON)

    def goes_on(self, leaves: bool) -> None:
        """Nobody lets this rank's model go on but the first."""

    def _come(self, record: Record) -> None:
        """Not before the first rank is there: until then a collective would wait for it."""
        changes, _ = self._word("at")
        self.hear_changes(changes, record.index + 1)

    def _word(self, name: str) -> tuple[int, bool]:
        """What the first rank says at this meeting: how many changes there are, and whether to leave."""
        words: list[int] = []

        def is_given() -> bool:
            self._tell()
            self._check_over()
            words[:] = map(int, (self.ranks.read(self.name(name)) or "0").split())
            return words[0] >= self._meetings

        wait_until(is_given)
        return words[1], words[2:] == [1]

    def wait_for(self, name: str) -> str:
        """What somebody writes under a name. Raises Cancelled once the run is left."""

        def is_given() -> bool:
            self._tell()
            self._check_over()
            if self.ranks.read(name) is not None:
                return True
            if self.ranks.read(self.named_of_run("left")) is not None:
                raise Cancelled
            return False

        wait_until(is_given)
        return self.ranks.read(name) or ""

    def _check_over(self) -> None:
        if self.ranks.read(self.name("over")) is not None:
            raise Cancelled

    def takes_turn(self, changes: int) -> None:
        """This rank's stage begins: so many changes hold from here on."""
        self.hear_changes(changes, self.count())

    def hear_changes(self, count: int, records: int) -> None:
        """Take in so many changes in all, which hold from the next record on; there are so many."""
        while self._changes < count:
            change = Change.of(self.ranks.read(self.name(f"change{self._changes}")) or "{}")
            self._changes += 1
            if change.stops is not None:
                self.hear_stops(stops_of(change.stops))
            self._apply(change, records)

    def order(self, number: int) -> RankOrder:
        """What the first rank wants next."""
        name = self.name(f"order{number}")

        def is_given() -> bool:
            self._tell()
            return self.ranks.read(name) is not None

        wait_until(is_given)
        order = RankOrder.of(self.ranks.read(name) or "")
        self.run, self._begins = number, order.does in RUNS
        if self.turns is not None and self._begins:
            self.turns.run_begins()
        return order

    def run_ended(self) -> None:
        """Have the first rank know what held here."""
        if self._is_later:
            self.ranks.write(self.named_of_run(f"hits{self.ranks.rank}"), json.dumps(self._told))
            self._told = []

    def begins(self) -> None:
        """What was ordered begins here. Raises InputError where another rank can't begin it."""
        if self._begins:
            self._begins = False
            self._agree_to_begin()

    def refuses(self, problem: InputError) -> None:
        """What was ordered can't be begun here; the others hear why."""
        if self._begins:
            self._begins = False
            self._agree_to_begin(str(problem))

    def wrote(self, number: int, problem: str) -> None:
        """This rank's file is written, or can't be."""
        self.ranks.write(self.name(f"wrote{number}/{self.ranks.rank}"), problem)

    def _tell(self) -> None:
        """Have the first rank know of Ctrl-C: it has all leave. Nobody does alone: the others would wait for ever."""
        if not self._is_told and self._is_interrupted():
            self._is_told = True
            self.ranks.write(self.name("interrupted"), str(self.ranks.rank))

    def leaves(self) -> None:
        """This rank has read the last word."""
        self.ranks.write(self.name(f"left{self.ranks.rank}"), "left")
