"""A record under the name that it has in transformers' terms."""

from __future__ import annotations

from dataclasses import dataclass

from tracetui.analysis.mapping.layouts import SAME, Layout
from tracetui.recording.record import Record


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

    @property
    def known(self) -> str:
        """The site as tables know it; empty where they don't."""
        return self.site if self.naming else self.own
