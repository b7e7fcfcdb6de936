"""Edits: what a run changes of a tensor before the model goes on with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tracetui.expr.actions import HEAD_ROLES
from tracetui.recording.sites import SitePattern

if TYPE_CHECKING:
    from tracetui.recording.value import Index

MOST_EDITS = 100
REPLACE = "replace"
_BEGIN = re.compile(rf":\s*{REPLACE}(?=\s|$)")
_ROUTERS = ("gate", "router")


@dataclass(frozen=True, slots=True)
class ReplacementSource:
    """A record of another trace that replaces the values of an edited tensor."""

    path: str
    """As it was typed."""
    site: str = ""
    """Or the end of one; empty: the site that is edited."""

    def __str__(self) -> str:
        path = f'"{self.path}"' if re.search(r"\s", self.path) else self.path
        return f"@{path} {self.site}".rstrip()


@dataclass(frozen=True, slots=True)
class Action:
    """What is done to the elements."""

    name: str
    numbers: tuple[float, ...] = ()
    seed: int = 0
    experts: tuple[int, ...] = ()
    source: ReplacementSource | None = None
    """The record whose values replace the elements."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Where, when and how a run is changed; equal to others of the same text."""

    text: str
    """As it is shown and typed again: `layers.3.self_attn head 5: zero`."""
    pattern: SitePattern = field(compare=False)
    action: Action = field(compare=False)
    head: int | None = field(default=None, compare=False)
    expert: int | None = field(default=None, compare=False)
    token: int | None = field(default=None, compare=False)
    pass_: int | None = field(default=None, compare=False)
    """None: in every pass."""
    first: int = field(default=0, compare=False)
    """The first record that it may change."""
    end: int | None = field(default=None, compare=False)
    """The first record that it may not change any more."""
    index: Index = field(default=(), compare=False)
    given: str = field(default="", compare=False)
    """The text before a run put records to it; empty if none did."""
    on: bool = True

    @property
    def identity(self) -> tuple[str, int]:
        """What stays of an edit that a run ends."""
        return self.given or self.text, self.first

    def is_now(self, pass_: int, record: int) -> bool:
        """Whether it holds in a pass, from a record's number on."""
        return (
            self.on
            and self.pass_ in (None, pass_)
            and self.first <= record < (record + 1 if self.end is None else self.end)
        )

    def is_for(self, site: str) -> bool:
        """Whether it changes what is recorded under a site; of an expert `is_for_expert` tells too."""
        if self.expert is not None or self.action.name == "experts":
            return False
        module, _, role = site.partition(":")
        if self.head is None:
            return self.pattern.matches(site)
        if ":" in self.pattern.text:
            return role in HEAD_ROLES and self.pattern.matches(site)
        return role == "heads" and self.pattern.matches(module)

    def is_for_expert(self, block: str, holder: str, expert: int) -> bool:
        """Whether it changes an expert's output: `holder` is the module of all, in a `block`."""
        if self.expert is None:
            return self.is_for(f"{holder}.{expert}")
        return self.expert == expert and (self.pattern.matches(block) or self.pattern.matches(holder))

    def chooses(self, block: str) -> bool:
        """Whether it chooses the experts of a block."""
        named = (block, f"{block}:experts", *(f"{block}.{router}" for router in _ROUTERS))
        return self.action.name == "experts" and any(map(self.pattern.matches, named))

    def made_at(self, record: int) -> Edit:
        """The same from a record on."""
        if self.first or not record:
            return self
        return replace(self, text=self._with(f"from {record}"), first=record, given=self.given or self.text)

    def ended_at(self, record: int) -> Edit:
        """The same up to a record."""
        if self.end is not None:
            return self
        return replace(self, text=self._with(f"until {record}"), end=record, given=self.given or self.text)

    def _with(self, place: str) -> str:
        at = separator(self.text)
        return f"{self.text[:at]} {place}{self.text[at:]}"


@dataclass(frozen=True, slots=True)
class EditTally:
    """What came of one edit in a run."""

    edit: Edit
    applied: int = 0
    """Tensors that it changed."""
    untold: str = ""
    """Why a tensor that it names couldn't be changed, the last that couldn't."""


def plain_edits(edits: Sequence[Edit]) -> list[str]:
    """As a run keeps them: those that are on."""
    return [edit.text for edit in edits if edit.on]


def separator(text: str) -> int | None:
    """Where the colon before an edit's action stands: the last one outside of brackets, if no path follows it."""
    if (begin := _BEGIN.search(text)) is not None:
        return begin.start()
    depth, at = 0, None
    for place, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if char == ":" and depth <= 0:
            at = place
    return at
