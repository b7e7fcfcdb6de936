"""Watches: an expression over sites, one number for each record that fits."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracetui.analysis.attention.kinds import KINDS, Kind
from tracetui.expr.errors import BadExpressionError
from tracetui.expr.evaluate import evaluate
from tracetui.expr.names import BY_NAME
from tracetui.expr.parse import MAX_LENGTH, Expression, parse
from tracetui.recording.record import Record
from tracetui.recording.sites import MAX_PATTERN
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array

if TYPE_CHECKING:
    from tracetui.expr.moment import RecordScope, TraceScope

MOST_POINTS = 2000
FORM = "layers.*.norm, layers.3.mlp:routing_weights[5], or EXPRESSION at SITE"
_AT = re.compile(r"\s+at\s+")
_SITE = re.compile(r"[\w.*?:#-]+")
_ROUTER = re.compile(r"\.(?:gate|router)(?=:(?:experts|routing_weights|router_|selection_))")
"""What a router chose is recorded as its block's."""
_STARS = re.compile(r"\*+")
_NAMED = re.compile(r"(?P<site>.+)\.(?P<name>[a-z_]+(?:\([^()]*\))?)")
_INDEXED = re.compile(r"(?P<site>[^\[\]]+)(?P<index>\[[^\[\]]*\](?:\.\w+)?)")


@dataclass(frozen=True, slots=True)
class Watch:
    """What is looked at again at every stop; equal to others of the same text."""

    text: str
    expression: Expression = field(compare=False)
    _sites: re.Pattern[str] = field(compare=False, repr=False)

    kind: Kind | None = field(default=None, compare=False)
    """Which of attention's matrices it names, if it does."""
    site: str = field(default="*", compare=False)
    """The sites that it is about, as they were typed."""

    def is_for(self, record: Record) -> bool:
        """Whether it is about a record, or about a matrix that is computed from one."""
        return self._sites.fullmatch(record.site) is not None or self._is_behind(record)

    def moment(self, trace_scope: TraceScope, record: Record) -> RecordScope | None:
        """What it is about at a record for which it is; None where the matrix was recorded itself."""
        if not self._is_behind(record) or self.kind is None:
            return trace_scope.moment(record)
        recorded = trace_scope.trace.find(f"{record.module}:{self.kind}{record.ending}")
        return None if recorded is not None else trace_scope.matrix(record, self.kind)

    def _is_behind(self, record: Record) -> bool:
        """Whether a matrix that it names is computed from a record: the keys, at which all it takes is there."""
        return (
            record.role == "k"
            and self.kind is not None
            and self._sites.fullmatch(f"{record.module}:{self.kind}") is not None
        )


@dataclass(frozen=True, slots=True)
class Point:
    """The expression at one record."""

    index: int
    label: str
    """The layer where there is one, else the site."""
    value: float
    """NaN where it can't be told."""


@dataclass(frozen=True, eq=False, slots=True)
class Watched:
    """A watch over a trace's first `scanned` records, in the newest pass that has any."""

    watch: Watch
    trace: Trace
    scanned: int = 0
    found: tuple[int, ...] = ()
    """The records that fit, of all passes."""
    points: tuple[Point, ...] = ()
    current: int | None = None
    """The point at or before the cursor; without one, the first."""
    part: Array | None = None
    """At that point, where the expression stands for several values."""
    why: str = ""
    """Why there is no number at that point."""


def parse_watch(text: str, where: str = "") -> Watch:
    """`SITE.NAME`, `SITE[…]`, `SITE[…].NAME`, `EXPRESSION at SITE`, or a site alone for its norm.

    `*` stands for one part of a path, so that `layers.*.norm` is a line over the layers. Raises BadExpressionError.
    """
    if len(text) > MAX_LENGTH:
        raise BadExpressionError(text, MAX_LENGTH, f"longer than {MAX_LENGTH} characters", where)
    site, expression, offset = _divided(text)
    match = _SITE.match(site)
    if match is None or match.end() != len(site) or len(site) > MAX_PATTERN:
        at = text.find(site) + (match.end() if match else 0) if site else 0
        raise BadExpressionError(text, at, f"no site has this in its name; a watch is {FORM}", where)
    try:
        checked = parse(expression, parts=True)
    except BadExpressionError as error:
        raise error.inside(text, offset, where) from None
    kind = next((kind for kind in KINDS if site.endswith(f":{kind}")), None)
    return Watch(
        text.strip(),
        checked,
        re.compile(rf"(?:.*\.)?{_as_expression(_ROUTER.sub('', site))}", re.DOTALL),
        kind,
        _ROUTER.sub("", site),
    )


def _divided(text: str) -> tuple[str, str, int]:
    """The site, the expression, and how far that begins behind where it stands in the text."""
    if places := list(_AT.finditer(text)):
        return text[places[-1].end() :].strip(), text[: places[-1].start()], 0
    plain = text.strip()
    start = text.find(plain)
    if match := _INDEXED.fullmatch(plain):
        return match["site"], f"value{match['index']}", start + match.start("index") - len("value")
    if (match := _NAMED.fullmatch(plain)) and match["name"].partition("(")[0] in BY_NAME:
        return match["site"], match["name"], start + match.start("name")
    return plain, "norm", 0


def _as_expression(site: str) -> str:
    first, *others = (
        "".join("[^.:]" if char == "?" else re.escape(char) for char in part) for part in _STARS.split(site)
    )
    if not others:
        return first
    # What stands between two stars is taken where it fits first: to try other places would take for ever and find none.
    return "".join((first, *(rf"(?>[^.:]*?{part})" for part in others[:-1]), rf"[^.:]*{others[-1]}"))


def look_at(watch: Watch, trace: Trace, count: int, cursor: int, known: Watched | None = None) -> Watched:
    """The watch over the first `count` records; what `known` has scanned already is not scanned again."""
    from tracetui.expr.moment import TraceScope

    scanned, indices = (known.scanned, known.found) if known is not None and known.trace is trace else (0, ())
    indices = (*indices, *(index for index in range(scanned, count) if watch.is_for(trace.records[index])))
    newest = trace.records[indices[-1]].pass_ if indices else 0
    trace_scope = TraceScope(trace)
    scopes = {
        index: scope
        for index in [index for index in indices if trace.records[index].pass_ == newest][-MOST_POINTS:]
        if (scope := watch.moment(trace_scope, trace.records[index])) is not None
    }
    if not scopes:
        return Watched(watch, trace, count, indices)
    shown_indices = list(scopes)
    current = max((place for place, index in enumerate(shown_indices) if index <= cursor), default=0)
    answers = [evaluate(watch.expression, scope) for scope in scopes.values()]
    points = tuple(
        Point(index, _label(trace.records[index]), answer.value if isinstance(answer.value, float) else math.nan)
        for index, answer in zip(shown_indices, answers, strict=True)
    )
    here = answers[current]
    part = None if here.value is None or isinstance(here.value, float) else here.value
    return Watched(watch, trace, count, indices, points, current, part, here.why)


def _label(record: Record) -> str:
    return record.key if record.layer is None else str(record.layer)
