"""Where a side has the tokens that two traces have in common: rows, positions and passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tracetui.recording.record import Record, is_layer
from tracetui.recording.trace import Trace

_STATES = ("state", "conv_state")
_TURNED = ("q", "k", "k_rope")
ROTARY = "rotary"
"""What stands in the name of a module that makes angles of positions."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a side has the tokens that both have."""

    rows: tuple[int, ...]
    """Of its batch."""
    padded: tuple[int, ...]
    """By these rows, the padding at their left."""
    batch: int
    width: int
    """Positions of the prompts' pass, padding included."""
    passes: int
    """How many passes it has."""
    spare: bool = False
    """Whether its cache has places for more keys than were seen, and the other side's hasn't."""

    later: tuple[int, ...] = ()
    """Positions that each pass after the first computed: all so far, where a model generates without a cache."""

    past: int = 0
    """Positions before those that the other side computed, on top of a cache of them."""

    def computed(self, pass_: int) -> int:
        """Positions that one of its passes computed."""
        return self.later[pass_ - 1] if pass_ else self.width

    def ends_with(self, lengths: Sequence[int], pass_: int) -> bool:
        """Whether the run's own pass ended with the last position that is compared in a pass, in every row.

        lengths: tokens of each row's prompt.
        """
        if self.passes > 1 and pass_:
            return True
        ends = (left + self.past + length + pass_ for left, length in zip(self.padded, lengths, strict=True))
        return all(end == self.width for end in ends)


@dataclass(frozen=True, slots=True)
class Common:
    """What two traces have in common, by position."""

    a: Placement
    b: Placement
    lengths: tuple[int, ...]
    """Tokens of each common row's prompt, without padding."""
    passes: int
    """How many passes are compared."""
    told: tuple[str, ...]
    """In words."""
    whole: bool
    """Whether no prompt has a token that is another on the other side."""
    padding_counts: bool = False
    """Whether rotary positions count the padding too, which differs between the two sides."""


def is_state(record: Record) -> bool:
    """Whether a tensor is what a recurrence has come to after the last position, and none of a position's own."""
    return record.role in _STATES


def is_turned(record: Record) -> bool:
    """Whether a tensor depends on rotary positions that relate to no other token's: tables, queries and keys."""
    return record.role in _TURNED or ROTARY in record.site


def pass_count(trace: Trace) -> int:
    return max((record.pass_ for record in trace.records), default=0) + 1


def prompt_width(trace: Trace) -> int:
    """Positions of the prompts' pass: more than the longest row has where all are padded at the right."""
    return max(*trace.prompt_lengths, pass_width(trace, 0))


def pass_width(trace: Trace, pass_: int) -> int:
    """Positions that a pass computed, as what its layers returned [B,T,...] tells, or else most of its tensors.

    0 where nothing tells.
    """
    batch = batch_of(trace)
    lengths: Counter[tuple[bool, int]] = Counter()
    for record in trace.records:
        if record.pass_ == pass_ and not record.role and not record.part and record.shape[:1] == (batch,):
            of_layer = is_layer(record.site)
            if len(record.shape) == 3 or (of_layer and len(record.shape) > 3):
                lengths[of_layer, record.shape[1]] += 1
    return max(lengths, key=lambda length: (length[0], lengths[length]), default=(False, 0))[1]


def batch_of(trace: Trace) -> int:
    """Prompts of a run; of a plain file the first axis of most tensors [B,T,D]."""
    lengths = Counter(record.shape[0] for record in trace.records if len(record.shape) == 3 and not record.pass_)
    return len(trace.tokens) or max(lengths, key=lambda length: lengths[length], default=0)


def longer_axes(shape: tuple[int, ...], other: tuple[int, ...]) -> list[int]:
    """Where a shape is longer than another of its rank, the first axis aside."""
    if len(shape) != len(other):
        return []
    return [axis for axis in range(1, len(shape)) if shape[axis] > other[axis]]
