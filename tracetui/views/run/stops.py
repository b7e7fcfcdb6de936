"""Stops in words: what fired and why, and what never did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracetui.analysis.attention.kinds import KINDS
from tracetui.expr.evaluate import Told
from tracetui.expr.watcher import Hit, Tally
from tracetui.recording.trace import Trace
from tracetui.text import number, visible

SHOWN = 10
"""Hits of one stop that are told one by one."""
_NO_KERNEL = "; attention has one where it goes through transformers' interface"
_HINTS: dict[str, str] = {
    **dict.fromkeys(KINDS, _NO_KERNEL),
    "absorbed_scores": "; latent attention (MLA) alone has one",
}


def told_line(values: Told) -> str:
    """`norm = 812.3, prev.norm = 101.2`."""
    return ", ".join(f"{visible(name, 60)} = {number(value)}" for name, value in values)


def hit_line(hit: Hit) -> str:
    """`*.mlp if norm > 100 · norm = 812.3`: which stop it was and why."""
    values = told_line(hit.told)
    if [name for name, _ in hit.told] == [hit.stop.text]:
        return values
    return f"{visible(hit.stop.text, 200)}{f' · {values}' if values else ''}"


def fired_lines(trace: Trace, hits: Sequence[Hit]) -> Iterator[str]:
    """Every stop that fired, with its first records."""
    for text in dict.fromkeys(hit.stop.text for hit in hits):
        hits_of_stop = [hit for hit in hits if hit.stop.text == text]
        for hit in hits_of_stop[:SHOWN]:
            key, values = trace.records[hit.index].key, told_line(hit.told)
            yield f"stop {visible(text, 200)}: {visible(key, 200)} (step {hit.index}){f': {values}' if values else ''}"
        if len(hits_of_stop) > SHOWN:
            yield f"stop {visible(text, 200)}: and at {len(hits_of_stop) - SHOWN} records more"


def unfired_lines(tallies: Sequence[Tally]) -> Iterator[str]:
    """Every stop that was on and never fired, and why; but not the default ones, for which that is good news."""
    for tally in tallies:
        stop = tally.stop
        if stop.on and not stop.once and not tally.fired:
            yield f"stop {visible(stop.text, 200)} never fired: {_why_not(tally)}"


def _why_not(tally: Tally) -> str:
    _, colon, role = tally.stop.pattern.text.rpartition(":")
    if not tally.matched:
        hint = _HINTS.get(role, "")
        return (
            f"no record has such a site{hint if colon or not hint else f'; `*:{role}` names what attention computes'}"
        )
    records = f"{tally.matched} record{'s' if tally.matched > 1 else ''}"
    if tally.untold:
        return f"looked at {records}; where it couldn't be told: {visible(tally.untold, 200)}"
    return f"looked at {records}"
