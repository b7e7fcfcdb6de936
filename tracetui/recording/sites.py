"""Patterns of sites, as a user types them: `layers.7.mlp`, `*.gate`, `*:probs`."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field

from tracetui.errors import InputError
from tracetui.text import visible

MAX_PATTERN = 200


@dataclass(frozen=True, slots=True)
class SitePattern:
    """A site's name, or its end from a dot on; `*` stands for anything, dots and roles too, `?` for one character."""

    text: str
    _expression: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_expression", re.compile(rf"(?:.*\.)?{fnmatch.translate(self.text)}", re.DOTALL))

    def matches(self, site: str) -> bool:
        return self._expression.match(site) is not None


def parse_pattern(text: str, where: str) -> SitePattern:
    """The pattern that a user typed. Raises InputError with `where` before the problem."""
    if not text.strip() or len(text) > MAX_PATTERN:
        raise InputError(f"{where}: must be a site, such as layers.7.mlp or *.gate, got {visible(text, 40)!r}")
    return SitePattern(text.strip())
