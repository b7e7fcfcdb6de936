"""The ranks that run the same modules in the same order, and how they decide something together.

A rank that leaves a forward pass alone leaves the others waiting in the model's next collective, and the group is dead
for good. So whether to go on is asked of all of them at the same record, over a group that is ours. Nobody waits in a
collective for somebody who need not come: that is asked of the store, where Ctrl-C is heard.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import timedelta
from functools import cache
from typing import Any
from zlib import crc32

import torch
import torch.distributed as dist

from tracetui.errors import RunError
from tracetui.models.module_tree import KnownModel
from tracetui.models.ranks.cuts import ExpertCuts, expert_cuts
from tracetui.models.ranks.stages import must_end
from tracetui.recording.record import INPUT, Record

GONE = "another rank has ended, or lost its connection"
FAILED = "failed"
"""Under which a rank that fails leaves a word for the first one."""
_PATIENCE = 60.0
"""Seconds after which ranks that don't come are named."""
_TIMEOUT = timedelta(seconds=120)
_LONGEST_PAUSE = 0.05
"""Seconds between two looks into the store: Ctrl-C is heard between them."""
_MET_AT = frozenset(["", INPUT, "q", "k", "v", "heads"])
"""Roles of which every rank makes a record, whatever its numbers are."""


class Ranks:
    """All ranks of the program, this one among them, or some that are named. Used by one thread."""

    def __init__(self, purpose: str) -> None:
        """purpose: what all of them call, such as `tracetui.stops`."""
        self.world, self.rank = dist.get_world_size(), dist.get_rank()
        self._members: tuple[int, ...] | None = None
        self._purpose = purpose
        self._store: Any = torch._C._distributed_c10d.PrefixStore(f"tracetui/{purpose}", _default_store())
        self.calls = 0
        """How often all have gathered."""

    def among(self, groups: Sequence[Sequence[int]]) -> Ranks:
        """Those of this rank's group, who agree among themselves. All ranks have to ask for the same groups at once."""
        some = copy(self)
        for group in groups:
            made = _control_group(dist.group.WORLD, tuple(group))
            if self.rank in group:
                some._members = tuple(group)
                assert made is not None
        return some

    @property
    def _group(self) -> Any:
        return _control_group(dist.group.WORLD, self._members)

    def gather(self) -> None:
        """Wait until all have called this as often. Raises RunError naming those that don't."""
        self.calls += 1
        self._store.set(f"calls/{self.rank}", str(self.calls))
        missing = list(range(self.world))
        if not wait_until(lambda: not self._still(missing), _PATIENCE):
            names = f"rank{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))} of {self.world}"
            raise RunError(f"{self._purpose}: {names} didn't call it in {_PATIENCE:.0f} seconds; all ranks have to")

    def _still(self, missing: list[int]) -> list[int]:
        missing[:] = [rank for rank in missing if int(self.read(f"calls/{rank}") or 0) < self.calls]
        return missing

    def read(self, name: str) -> str | None:
        """What somebody has written under a name; None until then."""
        with self._others_there():
            return self._store.get(name).decode() if self._store.check([name]) else None

    def read_if_there(self, name: str) -> str | None:
        """The same, and None where nobody has the store any more."""
        try:
            return self.read(name)
        except RunError:
            return None

    def write(self, name: str, text: str) -> None:
        """Have all be able to read it."""
        with self._others_there():
            self._store.set(name, text)

    @contextmanager
    def _others_there(self) -> Iterator[None]:
        """Raises RunError where the others, or who holds the store, have ended."""
        try:
            yield
        except RuntimeError as error:
            raise RunError(f"{self._purpose}: {GONE}") from error

    def most(self, numbers: Sequence[int]) -> list[int]:
        """The largest that any rank has of each of these numbers; all have to ask at once."""
        agreed = torch.tensor(numbers, dtype=torch.int64)
        with self._others_there():
            dist.all_reduce(agreed, op=dist.ReduceOp.MAX, group=self._group)
        largest: list[int] = agreed.tolist()
        return largest

    def one_of(self, holds: bool, record: Record) -> int | None:
        """A rank for which something holds at a record that all have arrived at; None where it does for none.

        Raises RunError where they are at different records.
        """
        return self.agreed(0, holds, record)[1]

    def agreed(self, state: int, holds: bool, record: Record) -> tuple[int, int | None]:
        """The same, and before it the largest of the numbers that the ranks bring."""
        number = crc32(record.key.encode())
        state, rank, most, least = self.most([state, self.rank + 1 if holds else 0, number, -number])
        if most != -least:
            raise RunError(
                f"{self._purpose}: the ranks run different modules, this one {record.key}: none can stop here"
            )
        return state, rank - 1 if rank else None

    def all_say(self, message: object) -> list[Any]:
        """What each rank has to say; all have to ask at once."""
        words: list[Any] = [None] * len(self._members or range(self.world))
        with self._others_there():
            dist.all_gather_object(words, json.dumps(message), group=self._group)
        return [json.loads(each) for each in words]

    def heard_from(self, rank: int, message: object) -> Any:
        """What one rank has to say, for all of them; all have to ask at once."""
        words = [json.dumps(message)]
        with self._others_there():
            dist.broadcast_object_list(words, src=rank, group=self._group)
        return json.loads(words[0])


class MeetingPoints:
    """The records of one model at which all ranks can meet: each of them makes these, in the same order."""

    def __init__(self, known: KnownModel, experts: Iterable[tuple[str, ExpertCuts]], in_turn: bool = False) -> None:
        """in_turn: stages wait for one another outside of collectives, so that those of one may meet anywhere."""
        self._at_the_end = must_end(known.modules) and not in_turn
        self._own = tuple(f"{path}." for path, _ in experts)

    def has(self, record: Record) -> bool:
        """Whether all ranks make this record.

        Where a call must be brought to its end they meet when all have done so.
        """
        if self._at_the_end:
            return record.depth == 0
        return not record.part and record.role in _MET_AT and not record.site.startswith(self._own)


def meeting_points(known: KnownModel, in_turn: bool = False) -> MeetingPoints:
    """Those of a model as it is built now; in_turn: with stages that wait for one another outside of collectives."""
    return MeetingPoints(known, expert_cuts(known.modules).items(), in_turn)


def wait_until(holds: Callable[[], bool], patience: float | None = None) -> bool:
    """Ask again and again until something holds; False if it doesn't in so many seconds."""
    until, pause = None if patience is None else time.monotonic() + patience, 0.0005
    while not holds():
        if until is not None and time.monotonic() > until:
            return False
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    return True


def _default_store() -> Any:
    return dist.distributed_c10d._get_default_store()


@cache
def _control_group(world: Any, members: tuple[int, ...] | None) -> Any:
    """A group of ours over all ranks, or over some, for as long as the program's own is this one."""
    return dist.new_group(None if members is None else list(members), backend="gloo", timeout=_TIMEOUT)


def ranks_for(purpose: str) -> Ranks | None:
    """The ranks of this program, for what all of them call; None where this is its only process."""
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() < 2:
        return None
    return _ranks(purpose, dist.group.WORLD)


@cache
def _ranks(purpose: str, world: Any) -> Ranks:
    return Ranks(purpose)
