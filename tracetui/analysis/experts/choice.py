"""What one token's choice of experts rests on: scores, groups, margins, and what its experts made of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracetui.analysis.experts.routing import BlockRouting, Floats, Ints, sibling
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, NotKeptError


def margins(selection: Array, experts: Ints) -> Floats:
    """How far each chosen expert [n,A] lies above the first not chosen, in selection scores [n,E]: [n,A].

    0 is a tie; inf means that no other expert could be chosen.
    """
    chosen = np.take_along_axis(selection, experts, axis=1).astype(np.float64)  # [n,A]
    distances: Floats = chosen - _others(selection, experts).max(axis=1, keepdims=True)
    return distances


def runners_up(selection: Array, experts: Ints) -> Ints:
    """The first expert not chosen by each token, -1 where no other could be: [n]."""
    others = _others(selection, experts)  # [n,E]
    return np.where(np.isneginf(others.max(axis=1)), -1, others.argmax(axis=1))


def _others(selection: Array, experts: Ints) -> Floats:
    """Selection scores [n,E] with the chosen experts -inf."""
    others = selection.astype(np.float64)  # [n,E]
    np.put_along_axis(others, experts, -np.inf, axis=1)
    return others


def masked_groups(selection: Array, groups: int) -> npt.NDArray[np.bool_]:
    """Which groups each token could not choose from, by selection scores [n,E] that are all -inf, or 0: [n,groups]."""
    tokens, count = selection.shape
    masked = (np.isneginf(selection) | (selection == 0)).reshape(tokens, groups, count // groups)  # [n,groups,E/groups]
    whole: npt.NDArray[np.bool_] = np.logical_and.reduce(masked, axis=2)
    return whole


@dataclass(frozen=True, slots=True)
class GroupMargin:
    """How close a token's choice of groups was."""

    last: int
    """The group that came in last."""
    next: int
    """The first that stayed out."""
    margin: float


def group_margin(scores: Array, masked: npt.NDArray[np.bool_]) -> GroupMargin | None:
    """The margin between groups that were let in and those `masked` [G], from scores [E] with nothing masked.

    A group's rank is the sum of its best two experts (DeepSeek-V3) or its best one (V2): the one that explains which
    are masked. None where neither does, or no group is.
    """
    if not masked.any() or masked.all():
        return None
    grouped = np.sort(scores.astype(np.float64).reshape(len(masked), -1), axis=1)  # [G,E/G]
    for best in (2, 1):
        ranks = grouped[:, -best:].sum(axis=1)  # [G]
        last = int(np.where(masked, np.inf, ranks).argmin())
        after = int(np.where(masked, ranks, -np.inf).argmax())
        if ranks[last] >= ranks[after]:
            return GroupMargin(last, after, float(ranks[last] - ranks[after]))
    return None


@dataclass(frozen=True, slots=True)
class Choice:
    """One expert that a token chose; None stands for what is not recorded."""

    expert: int
    group: int
    weight: float | None
    logit: float | None
    score: float | None
    bias: float | None
    selection: float | None
    margin: float | None
    """To the first expert not chosen; inf if there was none to choose."""
    norm_in: float | None
    """Root of the sum of squares of what the expert got of this token."""
    norm_out: float | None
    """The same of what it returned, before the weight."""


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """What one token chose, the largest weight first."""

    token: int
    """Its place among the routing's n."""
    prompt: int
    position: int
    choices: tuple[Choice, ...]
    runner_up: int | None
    """The first expert not chosen; None where no other could be, or nothing tells."""
    runner_up_selection: float | None
    masked: tuple[int, ...]
    """Groups that it could not choose from."""
    groups: GroupMargin | None = None
    """None where nothing tells."""

    @property
    def margin(self) -> float | None:
        """Between the last expert chosen and the first not chosen; 0 for a tie."""
        known = [choice.margin for choice in self.choices if choice.margin is not None]
        return min(known, default=None)


def token_choice(trace: Trace, routing: BlockRouting, token: int) -> TokenChoice:
    """The choice of one of the routing's tokens."""
    experts = routing.experts[token]  # [A]
    criterion = routing.criterion
    margin = None if criterion is None else margins(criterion[token][None], experts[None])[0]  # [A]
    choices = [_choice(trace, routing, token, slot, margin) for slot in range(routing.active)]
    choices.sort(key=lambda choice: -(_first(choice.weight, choice.selection, choice.score)))
    runner_up = -1 if criterion is None else int(runners_up(criterion[token][None], experts[None])[0])
    known = runner_up >= 0 and criterion is not None
    return TokenChoice(
        token,
        int(routing.prompts[token]),
        int(routing.positions[token]),
        tuple(choices),
        runner_up if known else None,
        float(criterion[token, runner_up]) if known and criterion is not None else None,
        _masked(routing, token),
        _group_margin(routing, token),
    )


def _group_margin(routing: BlockRouting, token: int) -> GroupMargin | None:
    if routing.groups < 2 or routing.selection is None or routing.scores is None:
        return None
    scores = routing.scores[token] if routing.bias is None else routing.scores[token] + routing.bias  # [E]
    return group_margin(scores, masked_groups(routing.selection[token][None], routing.groups)[0])


def _first(*numbers: float | None) -> float:
    return next((number for number in numbers if number is not None), 0.0)


def _masked(routing: BlockRouting, token: int) -> tuple[int, ...]:
    if routing.groups < 2 or routing.selection is None:
        return ()
    masked = masked_groups(routing.selection[token][None], routing.groups)[0]
    return tuple(int(group) for group in np.flatnonzero(masked))


def _choice(trace: Trace, routing: BlockRouting, token: int, slot: int, margin: Floats | None) -> Choice:
    expert = int(routing.experts[token, slot])
    norm_in, norm_out = expert_norms(trace, routing, token, expert)
    return Choice(
        expert,
        routing.group(expert),
        _at(routing.weights, token, slot),
        _at(routing.logits, token, expert),
        _at(routing.scores, token, expert),
        _at(routing.bias, expert),
        _at(routing.selection, token, expert),
        None if margin is None else float(margin[slot]),
        norm_in,
        norm_out,
    )


def _at(array: Array | None, *index: int) -> float | None:
    return None if array is None else float(array[index])


def expert_record(trace: Trace, routing: BlockRouting, expert: int, role: str = "") -> Record | None:
    """An expert's own record: its output before weighting, or the one of a role (`in`, `tokens`)."""
    site = f"{routing.site}.experts.{expert}"
    record = sibling(trace, routing.record, f"{site}:{role}" if role else site)
    return record if record and record.index < len(trace.values) else None


def expert_norms(trace: Trace, routing: BlockRouting, token: int, expert: int) -> tuple[float | None, float | None]:
    """L2 norms of what an expert got of a token and what it returned before the weight."""
    listed, entered, returned = (expert_record(trace, routing, expert, role) for role in ("tokens", "in", ""))
    try:
        tokens = trace.value(listed).read() if listed else np.zeros(0, np.int64)  # [n]
        rows = np.flatnonzero(tokens == routing.rows[token])
        if not len(rows):
            return None, None
        norm_in, norm_out = (_row_norm(trace, record, int(rows[0])) for record in (entered, returned))
        return norm_in, norm_out
    except NotKeptError:
        return None, None


def _row_norm(trace: Trace, record: Record | None, row: int) -> float | None:
    return row_norm(trace, record, row) if record and row < math.prod(record.shape[:-1]) else None


def row_norm(trace: Trace, record: Record, row: int) -> float:
    """The L2 norm of one row of a record [.., D], its leading axes counted as one. Raises NotKeptError."""
    index = tuple(int(place) for place in np.unravel_index(row, record.shape[:-1]))
    return float(np.linalg.norm(trace.value(record).read(index).astype(np.float64)))
