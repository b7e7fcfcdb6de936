"""What the first rank has the others do, in the words in which it stands in the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from tracetui.expr.edit import Edit, plain_edits
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.stop import Stop, parse_stop


class Does(StrEnum):
    """What is to be done."""

    RUN = "run"
    AGAIN = "again"
    """The last run, from its beginning."""
    GENERATE = "generate"
    WRITE = "write"
    END = "end"


RUNS = frozenset({Does.RUN, Does.AGAIN, Does.GENERATE})


@dataclass(frozen=True, slots=True)
class RankOrder:
    """One thing to do."""

    does: str
    ids: list[list[int]] | None = None
    """The prompts' tokens; None for what each rank was given."""
    stops: tuple[str, ...] = ()
    edits: tuple[str, ...] = ()
    count: int = 0
    """Of tokens to choose."""
    changes: int = 0
    """How many changes hold from its first record on."""
    folder: str = ""
    """Where each rank writes what it recorded."""
    is_interrupted: bool = False
    """Whether Ctrl-C is the reason for the end."""

    @property
    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> RankOrder:
        """The order in a text of this class's own."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Change:
    """Other stops or other edits in the middle of a run."""

    stops: Sequence[str] | None = None
    edits: Sequence[str] | None = None
    is_late: bool = False
    """Whether they hold for the record at which all wait, and not from the next one on."""

    @property
    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Change:
        """The change in a text of this class's own."""
        return cls(**json.loads(text))


def stop_texts(stops: Sequence[Stop]) -> tuple[str, ...]:
    """As they are typed: those that are on."""
    return tuple(stop.text for stop in stops if stop.on)


def stops_of(texts: Sequence[str]) -> tuple[Stop, ...]:
    return tuple(parse_stop(text) for text in texts)


def edit_texts(edits: Sequence[Edit]) -> tuple[str, ...]:
    """As they are typed: those that are on."""
    return tuple(plain_edits(edits))


def edits_of(texts: Sequence[str]) -> tuple[Edit, ...]:
    return tuple(parse_edit(text) for text in texts)
