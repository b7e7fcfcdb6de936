"""A recording at a glance: what was run, whether it is sound, what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracetui.analysis.prediction import next_tokens
from tracetui.debugger.finding import finding_of
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError
from tracetui.text import count, token_text
from tracetui.views.charts.bars import percent
from tracetui.views.tokens import token_label

_TOKENS = 40
_PREDICTIONS = 3


@dataclass(frozen=True, eq=False, slots=True)
class Overview:
    """Lines of a name and a text."""

    rows: tuple[tuple[str, str], ...]
    finding: str = ""
    """What isn't as it should be: `NaN in layer 7`."""


def read_overview(trace: Trace) -> Overview:
    """Reads logits and statistics. O(records)."""
    return Overview(tuple(_rows(trace)), finding_of(trace))


def _rows(trace: Trace) -> Iterator[tuple[str, str]]:
    if prompt := "".join(token_text(token.bytes, 40) for row in trace.tokens[:1] for token in row[:_TOKENS]):
        more = "…" if len(trace.tokens[0]) > _TOKENS else ""
        yield "prompt", f"{prompt.replace('·', ' ').strip()}{more}"
    yield "recorded", _extent(trace)
    if not trace.dump and (predictions := _predicted(trace)):
        yield "next token", predictions


def _extent(trace: Trace) -> str:
    layers = len({record.layer for record in trace.records} - {None})
    passes = len({record.pass_ for record in trace.records})
    parts = [f"{count(len(trace))} records"]
    parts += [f"{layers} layer{'s' if layers > 1 else ''}"] if layers else []
    parts += [f"{passes} passes"] if passes > 1 else []
    return ", ".join([*parts, *([] if trace.complete else ["left before its end"])])


def _predicted(trace: Trace) -> str:
    try:
        predictions = next_tokens(trace, _PREDICTIONS)
    except (NotKeptError, IndexError):
        return ""
    shown = ((token_label(each.token, 20), each.probability) for each in predictions)
    return "  ".join(f"{text} {percent(probability)}" for text, probability in shown)
