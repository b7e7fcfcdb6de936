"""A recording at a glance: what was run, whether it is sound, what comes next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tracetui.analysis.prediction import next_tokens
from tracetui.analysis.residual import residual_norms
from tracetui.debugger.finding import finding_of
from tracetui.recording.record import Token
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError
from tracetui.text import token_text
from tracetui.views.module_columns import three_digits
from tracetui.views.tokens import token_label

_TOKENS = 120
_PREDICTIONS = 5


@dataclass(frozen=True, eq=False, slots=True)
class Overview:
    """Lines of a name and a text."""

    rows: tuple[tuple[str, str], ...]
    finding: str = ""
    """What isn't as it should be: `NaN in layer 7`."""
    predictions: tuple[tuple[str, float], ...] = ()
    """The likeliest next tokens after the first prompt and what was added to it, with their probabilities."""
    has_lens: bool = False


def read_overview(trace: Trace) -> Overview:
    """Reads logits and statistics. O(records)."""
    predictions = () if trace.dump else _predicted(trace)
    has_lens = any(record.role.startswith("lens") for record in trace.records)
    return Overview(tuple(_rows(trace)), finding_of(trace), predictions, has_lens)


def _rows(trace: Trace) -> Iterator[tuple[str, str]]:
    row = trace.tokens[0] if trace.tokens else ()
    length = trace.prompt_lengths[0] if trace.prompt_lengths else len(row)
    if prompt := _text(row[:length]):
        yield "prompt", prompt
    if added := _text(row[length:]):
        yield "added", added
    yield "recorded", _extent(trace)
    if not trace.dump and (growth := _growth(trace)):
        yield "residual", growth


def _text(tokens: Sequence[Token]) -> str:
    text = "".join(token_text(token.bytes, 40) for token in tokens[:_TOKENS])
    return f"{text.replace('·', ' ').strip()}{'…' if len(tokens) > _TOKENS else ''}" if text else ""


def _growth(trace: Trace) -> str:
    """The layer in which the norm of the first prompt's residual stream grows most, and between which norms it goes."""
    points = [point for point in residual_norms(trace) if not point.label.endswith("attn")]
    sizes = [point.l2 for point in points]
    if len(points) < 3 or not all(math.isfinite(size) and size > 0 for size in sizes):
        return ""
    steps = [after / before for before, after in pairwise(sizes)]
    most = max(range(len(steps)), key=steps.__getitem__)
    ends = f"norm {three_digits(sizes[0])} before the layers, {three_digits(sizes[-1])} after"
    grows = f"grows most in layer {points[most + 1].label}, ×{three_digits(steps[most])}; "
    return f"{grows if steps[most] > 1 else ''}{ends}"


def _extent(trace: Trace) -> str:
    layers = len({record.layer for record in trace.records} - {None})
    passes = len({record.pass_ for record in trace.records})
    parts = [f"{len(trace):,} records"]
    parts += [f"{layers} layer{'s' if layers > 1 else ''}"] if layers else []
    parts += [f"{passes} passes"] if passes > 1 else []
    return ", ".join([*parts, *([] if trace.complete else ["left before its end"])])


def _predicted(trace: Trace) -> tuple[tuple[str, float], ...]:
    try:
        predictions = next_tokens(trace, _PREDICTIONS)
    except (NotKeptError, IndexError):
        return ()
    return tuple((token_label(each.token, 20), each.probability) for each in predictions)
