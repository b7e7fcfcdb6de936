"""A record under the name that it has in transformers' terms."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tracetui.analysis.mapping.ggml import uncounted
from tracetui.analysis.mapping.layouts import SAME, Layout
from tracetui.analysis.mapping.names import meaning, unwrapped
from tracetui.recording.record import Record, when

_UNNAMED = "output"
"""The site of what a whole model returns that doesn't call it logits."""
_RETURNED = (_UNNAMED, "logits")


@dataclass(frozen=True, slots=True)
class Named:
    """A record of one side, in transformers' terms."""

    record: Record
    site: str
    """With pass, call and part as a trace's keys have them."""
    naming: str
    layout: Layout = SAME
    """What is done to its values first: what a rule says, or the piece of a fused tensor that it is."""
    own: str = ""
    """What its own name means, where a rule gives it one that no table knows."""
    by_rule: bool = False
    """Whether a map gives it its site: that stands above what names and values tell."""

    @property
    def known(self) -> str:
        """The site as tables know it; empty where they don't."""
        return self.site if self.naming else self.own


def is_returned(record: Record) -> bool:
    """Whether it is what the whole model of a traced run returned, and no module in it."""
    return record.site in _RETURNED and not record.depth and not record.parent


class Meanings:
    """What the names in one file mean, each looked up once for all passes."""

    def __init__(self, names: Collection[str], dump: bool) -> None:
        """names: the sites of the file's records. dump: whether a script wrote it."""
        self._traced = not dump
        self._names = unwrapped(uncounted(names))
        self._known: dict[tuple[str, int], tuple[str, str]] = {}

    def of(self, record: Record, name: str) -> tuple[str, str]:
        """The site that a record's name means, with its pass, call and part; and whose naming it is."""
        ending = when(record.pass_, record.call)
        if self._traced and record.site == _UNNAMED and is_returned(record) and name == record.key:
            # Meta's head is called so too.
            return name, ""
        name = name.removesuffix(ending) if ending else name
        rank = sum(length > 1 for length in record.shape)
        known = self._known.get((name, rank))
        if known is None:
            found = meaning(name, rank, self._names)
            known = self._known[name, rank] = (found.site, found.naming)
        return (known[0] + ending, known[1]) if ending else known
