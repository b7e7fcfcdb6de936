"""Stops: where and when a run is to wait."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tracetui.errors import InputError
from tracetui.expr.errors import BadExpressionError
from tracetui.expr.names import Kind
from tracetui.expr.parse import Expression, parse
from tracetui.recording.record import Record
from tracetui.recording.sites import MAX_PATTERN, SitePattern

MOST_STOPS = 100
_IF = re.compile(r"(?:^|\s)if(?=\s|$)")
_SITE = re.compile(r"[\w.*?:\[\]!#-]+")
_TENSORS = frozenset({Kind.STATISTIC, Kind.VALUES, Kind.ROUTING, Kind.ATTENTION})
"""What a condition asks of tensors; the other kinds are of the record's place and of arithmetic."""
_KNOWN_AT = {Kind.ROUTING: "experts", Kind.ATTENTION: "k"}
_ALONE = frozenset({"nan", "inf"})
"""Names that are a condition when they stand alone; any other lone word is a site."""
_ROUTERS = ("gate", "router")
EVERYWHERE = SitePattern("*")


@dataclass(frozen=True, slots=True)
class Stop:
    """A pattern of sites, a condition, or both; equal to others of the same text."""

    text: str
    """As it is shown and typed again: `*.mlp if norm > 100`."""
    pattern: SitePattern = field(default=EVERYWHERE, compare=False)
    condition: Expression | None = field(default=None, compare=False)
    on: bool = True
    once: bool = False
    """Whether it rests after its first hit until the next run."""

    @property
    def everywhere(self) -> bool:
        """Whether its pattern names no place."""
        return self.pattern.text == EVERYWHERE.text

    def is_for(self, record: Record) -> bool:
        """Whether the record's site is one that the stop names."""
        if self._known_at:
            return record.role == self._known_at
        if self.everywhere or self.pattern.matches(record.site):
            return True
        if record.role != "experts" or self.condition is None or Kind.ROUTING not in self.condition.kinds:
            return False
        # What a router chose is known a moment after the router's own output was recorded.
        return any(self.pattern.matches(f"{record.module}.{router}") for router in _ROUTERS)

    @property
    def _known_at(self) -> str:
        """The role at which a condition without a site is checked: once a block, not at every record after it."""
        if self.condition is None or not self.everywhere:
            return ""
        asked = self.condition.kinds & _TENSORS
        return _KNOWN_AT.get(next(iter(asked)), "") if len(asked) == 1 else ""

    @property
    def only_health(self) -> bool:
        """Whether it is nothing but the question for NaN or infinities, everywhere."""
        return self.everywhere and self.condition is not None and self.condition.text in _ALONE

    @property
    def watches_health(self) -> bool:
        """Whether it asks for values that are not finite."""
        return self.condition is not None and bool(_ALONE & set(re.findall(r"\w+", self.condition.text)))


def parse_stop(text: str, where: str = "", *, once: bool = False) -> Stop:
    """`[GLOB] [if CONDITION]`; a condition alone holds everywhere. Raises BadExpressionError."""
    site, condition, offset = _divided(text, where)
    if len(site) > MAX_PATTERN:
        raise BadExpressionError(
            text, text.find(site) + MAX_PATTERN, f"a site has up to {MAX_PATTERN} characters", where
        )
    if (bad := _SITE.match(site)) is None or bad.end() != len(site):
        at = text.find(site) + (bad.end() if bad else 0)
        raise BadExpressionError(
            text, at, "no site has this in its name; `layers.7.mlp if norm > 100` is the form", where
        )
    if condition is None:
        return Stop(site, SitePattern(site), once=once)
    try:
        checked = parse(condition)
    except BadExpressionError as error:
        raise error.inside(text, offset, where) from None
    condition_text = f"if {checked.text}" if checked.text not in _ALONE else checked.text
    return Stop(condition_text if site == "*" else f"{site} if {checked.text}", SitePattern(site), checked, once=once)


def _divided(text: str, where: str) -> tuple[str, str | None, int]:
    """The site, the condition, and where the condition begins."""
    begin = _IF.search(text)
    if begin is not None:
        if (second := _IF.search(text, begin.end())) is not None:
            at = second.end() - 2
            raise BadExpressionError(text, at, "a second `if`; what stands before the first one is the site", where)
        return text[: begin.start()].strip() or "*", text[begin.end() :], begin.end()
    plain = text.strip()
    if not plain:
        raise BadExpressionError(text, 0, "a stop is a site, a condition, or both: `layers.7.mlp if norm > 100`", where)
    if plain in _ALONE or not _SITE.fullmatch(plain):
        return "*", text, 0
    return plain, None, 0


def parse_stops(texts: Sequence[str], where: str) -> tuple[Stop, ...]:
    """All stops of a command line, each once. Raises InputError."""
    stops = tuple(dict.fromkeys(parse_stop(text, where) for text in texts))
    if len(stops) > MOST_STOPS:
        raise InputError(f"{where}: given {len(stops)} times; {MOST_STOPS} stops are the most")
    return stops


DEFAULT_STOPS = (parse_stop("nan", once=True), parse_stop("inf", once=True))
"""On unless somebody turns them off: they fire at the first record of a run, where it began."""


def with_defaults(stops: Sequence[Stop], default: bool = True) -> tuple[Stop, ...]:
    """The stops with the default ones before them, unless unwanted; one that is given again stays the default."""
    defaults = DEFAULT_STOPS if default else ()
    known = {stop.text for stop in defaults}
    return (*defaults, *(stop for stop in stops if stop.text not in known))
