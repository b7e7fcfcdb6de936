"""Which rows and positions of two traces hold the same tokens: padded or alone, in one pass or generated one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.alignment.masks import HIDDEN
from tracetui.analysis.diff.alignment.passes import common_part, common_passes, told_of_passes
from tracetui.analysis.diff.alignment.placement import (
    ROTARY,
    Common,
    Placement,
    is_state,
    pass_count,
    pass_width,
    prompt_width,
)
from tracetui.recording.trace import Trace
from tracetui.recording.value import is_kept

_PADDING_COUNTS = "without rotary tables, queries and keys: both count positions with the padding, which scores ignore"


def common_positions(a: Trace, b: Trace) -> Common | None:
    """How two traces that hold the same tokens stand to each other; None where their rows do so as they are."""
    if not (a.tokens and b.tokens) or a.dump or b.dump:
        return common_passes(a, b)
    passes = tuple(pass_count(trace) for trace in (a, b))
    generated = passes[0] != passes[1] and 1 in passes
    if not generated and passes[0] != passes[1]:
        return None
    matches = _matches(a, b, generated)
    if not matches and max(passes) == 1:
        return common_part(a, b)
    spare = tuple(_spare_keys(*sides) for sides in ((a, b), (b, a)))
    if not matches or not (generated or any(spare) or not _as_they_are(a, b, matches)):
        return None
    side, prompts = (0, a.prompt_lengths) if passes[0] >= passes[1] else (1, b.prompt_lengths)
    lengths = tuple(prompts[match.rows[side]] - match.padded[side] for match in matches)
    most = max(passes)
    if generated:
        most = min(most, min(match.common for match in matches) - lengths[0] + 1)
        if most < 1 or len(set(lengths)) > 1:
            return None
    places = [
        Placement(
            tuple(match.rows[at] for match in matches),
            tuple(match.padded[at] for match in matches),
            len(trace.tokens),
            prompt_width(trace),
            passes[at],
            spare[at],
            tuple(pass_width(trace, pass_) or 1 for pass_ in range(1, passes[at])),
        )
        for at, trace in enumerate((a, b))
    ]
    words = (*_told((a, b), places, lengths, most), *_states_left_out((a, b), places, lengths, most))
    counts = places[0].padded != places[1].padded and _padding_counts(a, b)
    if counts:
        words += (_PADDING_COUNTS,)
    return Common(places[0], places[1], lengths, most, words, all(match.whole for match in matches), counts)


def _padding_counts(a: Trace, b: Trace) -> bool:
    """Whether both have the same rotary angles at the same place from the left, whatever stands there."""
    for record in a.records:
        other = b.find(record.key) if ROTARY in record.site and not record.pass_ and len(record.shape) == 3 else None
        if other is None or not (is_kept(a.value(record)) and is_kept(b.value(other))):
            continue
        if record.shape[-1] != other.shape[-1] or len(other.shape) != 3:
            continue
        width = min(record.shape[1], other.shape[1])
        one, another = (side.value(each).read()[:, :width] for side, each in ((a, record), (b, other)))
        return bool(np.allclose(one[:1], another[:1], rtol=1e-2, atol=1e-2) and np.allclose(one, one[:1]))
    return False


def _states_left_out(
    traces: tuple[Trace, Trace], places: Sequence[Placement], lengths: tuple[int, ...], passes: int
) -> Iterator[str]:
    """In words, whose states can't be compared, since they have seen more than the positions that are."""
    for letter, trace, place in zip("AB", traces, places, strict=True):
        beyond = not all(place.ends_with(lengths, pass_) for pass_ in range(passes))
        if beyond and any(is_state(record) for record in trace.records):
            later = "later tokens" if place.passes == 1 < passes else "padding"
            yield f"without {letter}'s recurrent states that have seen {later}"


def _spare_keys(trace: Trace, other: Trace) -> bool:
    """Whether a run's kernels got more keys than the other's for as many positions: a cache of fixed length."""
    if prompt_width(trace) != prompt_width(other):
        return False
    keys = {record.key: record.shape for record in other.records if record.role == "k" and not record.pass_}
    pairs = ((record.shape, keys[record.key]) for record in trace.records if record.key in keys)
    return any(len(own) == len(theirs) == 4 and own[-2] > theirs[-2] for own, theirs in pairs)


@dataclass(frozen=True, slots=True)
class _Match:
    """A row of A, and one of B."""

    rows: tuple[int, int]
    padded: tuple[int, int]
    """The padding at the left of each."""
    common: int
    """Tokens from the start on, without padding, that are the same."""
    whole: bool
    """Whether one is the other's beginning."""


def _matches(a: Trace, b: Trace, generated: bool) -> list[_Match]:
    """The rows with the same tokens; none unless all of one side's have one."""
    found: list[_Match] = []
    free = list(range(len(b.tokens)))
    for row in range(len(a.tokens)):
        for other in sorted(free, key=lambda place: place != row):
            if (match := _match(a, row, b, other, generated)) is not None:
                found.append(match)
                free.remove(other)
                break
    return found if len(found) == min(len(a.tokens), len(b.tokens)) else []


def _match(a: Trace, row: int, b: Trace, other: int, generated: bool) -> _Match | None:
    """Two rows, if they are the same without padding; of a generated one the prompt, with what else is the same."""
    x, y = ([token.id for token in trace.tokens[at]] for trace, at in ((a, row), (b, other)))
    if generated:
        prompt = a.prompt_lengths[row] if a.generated else b.prompt_lengths[other]
        shortest = min(len(x), len(y))
        common = next((at for at in range(shortest) if x[at] != y[at]), shortest)
        return _Match((row, other), (0, 0), common, common == shortest) if common >= prompt else None
    if x == y:
        return _Match((row, other), (0, 0), len(x), True)
    extra = len(x) - len(y)
    longer, shorter, trace, at = (x, y, a, row) if extra > 0 else (y, x, b, other)
    if not extra or longer[abs(extra) :] != shorter or not _is_hidden(trace, at, abs(extra)):
        return None
    return _Match((row, other), (extra, 0) if extra > 0 else (0, -extra), len(shorter), True)


def _is_hidden(trace: Trace, row: int, count: int) -> bool:
    """Whether no token of a row sees its first positions; without a mask, whether these are all one token."""
    record = next((record for record in trace.records if record.role == "mask" and not record.pass_), None)
    if record is None or not is_kept(trace.value(record)) or len(record.shape) != 4:
        return len({token.id for token in trace.tokens[row][:count]}) == 1
    mask = trace.value(record).read()[min(row, record.shape[0] - 1), 0, -1, :count]  # [S]
    return bool(np.all(~mask if mask.dtype == np.bool_ else mask <= HIDDEN))


def _as_they_are(a: Trace, b: Trace, matches: Sequence[_Match]) -> bool:
    same = all(match.rows[0] == match.rows[1] and match.padded == (0, 0) for match in matches)
    return same and len(a.tokens) == len(b.tokens) and prompt_width(a) == prompt_width(b)


def _told(traces: tuple[Trace, Trace], places: Sequence[Placement], lengths: tuple[int, ...], passes: int) -> list[str]:
    a, b = places
    found = list(told_of_passes(places, lengths, passes))
    if len(a.rows) < max(a.batch, b.batch) or a.rows != b.rows:
        rows = [f"prompt {row} of A beside prompt {other} of B" for row, other in zip(a.rows, b.rows, strict=True)]
        found.append(", ".join(rows))
    for letter, trace, place in zip("AB", traces, places, strict=True):
        if place.width > max(trace.prompt_lengths[row] for row in place.rows):
            found.append(f"without the padding at the right of {letter}'s prompts")
        if place.spare:
            found.append(f"without the empty places of {letter}'s cache")
        if any(place.padded):
            counts = ", ".join(str(count) for count in place.padded)
            found.append(f"without the padding at the left of {letter}'s prompts ({counts} tokens)")
    return found
