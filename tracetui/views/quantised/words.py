"""What quantising did, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from tracetui.analysis.quantised.damage import (
    PositionDamage,
    QuantisationReport,
    SwapDamage,
    SwapKind,
    TensorDamage,
)
from tracetui.views.quantised.ranking import label, share_of_whole, short_name, small
from tracetui.views.tokens import named_token

_WEIGHTS = 3
"""So many of a layer's weights are named."""


def whole_lines(report: QuantisationReport) -> Iterator[str]:
    """Which weights differ, and what all of them do to the next token."""
    errors = sorted(tensor.error for tensor in report.tensors)
    span = f"{small(errors[0])} to {small(errors[-1])}" if len(errors) > 1 else small(errors[0])
    yield f"{len(errors):,} of {report.compared:,} weights differ, by {span} of their norm (|a−b|/|b|)"
    shift = report.whole.shift
    yield (
        f"all of them swapped: KL {small(shift.divergence)} nats a token, the mean over {report.positions:,} "
        f"positions; the most probable next token is the same at {shift.agreement:.1%}"
    )
    yield f"the largest KL, {small(shift.worst)}, is {_worst(report, shift.position)}{_guesses(report, shift.position)}"


def brief_lines(report: QuantisationReport) -> Iterator[str]:
    """The same for a narrow screen: two lines of 78 cells at most, of usual numbers."""
    shift = report.whole.shift
    count = f"{len(report.tensors):,} of {report.compared:,} weights differ"
    yield f"KL {small(shift.divergence)} nats a token; the same next token at {shift.agreement:.1%}; {count}"
    damage = report.at(shift.position)
    moved = f": {_short_guess(damage)}" if damage else ""
    yield f"largest, {small(shift.worst)}, {_worst(report, shift.position)}{moved}"


def detail_text(report: QuantisationReport, damage: SwapDamage | PositionDamage | TensorDamage) -> str:
    """One row of a table in words."""
    if isinstance(damage, PositionDamage):
        return _of_position(damage)
    return _of_weight(damage) if isinstance(damage, TensorDamage) else _of_swap(report, damage)


def _of_swap(report: QuantisationReport, swap: SwapDamage) -> str:
    shift = swap.shift
    share = share_of_whole(report, swap)
    words = [
        f"{short_name(swap.name)} alone: KL {small(shift.divergence)} nats a token, the mean of {report.positions:,}"
        + (f", {share} of what all do" if share else ""),
        f"largest, {small(shift.worst)}, {_worst(report, shift.position)}",
        f"same next token at {shift.agreement:.1%}",
    ]
    if swap.part is SwapKind.LAYER and (own := _matrices(report, swap.name)):
        words.append(f"of its weights {own}")
    if swap.layer_error is not None:
        words.append(f"its output for the original's input is off by {small(swap.layer_error)}")
    return "; ".join(words)


def _matrices(report: QuantisationReport, layer: str) -> str:
    """`mlp.down_proj 0.0702, mlp.up_proj 0.004`, if they were measured."""
    own = [each for each in report.of(SwapKind.MATRIX) if each.name.startswith(f"{layer}.")][:_WEIGHTS]
    names = (short_name(each.name.removeprefix(f"{layer}.")) for each in own)
    return ", ".join(f"{name} {small(each.shift.divergence)}" for name, each in zip(names, own, strict=True))


def _of_position(damage: PositionDamage) -> str:
    shift = damage.shift
    text = f"After {_token(damage)}: KL {small(shift.divergence)} nats. The original's most probable next token"
    return f"{text} is {_guess(damage)}"


def _short_guess(damage: PositionDamage) -> str:
    """`·Tower 92.8% became ade 31.5%`, or `·Tower 92.8%, quantised 31.5%` where the next token stayed."""
    shift = damage.shift
    original = f"{label(damage.original)} {shift.original.probability:.1%}"
    if damage.is_same:
        return f"{original}, quantised {shift.quantised.probability:.1%}"
    return f"{original} became {label(damage.quantised)} {shift.quantised.probability:.1%}"


def _guess(damage: PositionDamage) -> str:
    shift = damage.shift
    original = f"{label(damage.original)} ({shift.original.probability:.1%})"
    if damage.is_same:
        return f"{original}, and the quantised model's too ({shift.quantised.probability:.1%})"
    return f"{original}, the quantised model's {label(damage.quantised)} ({shift.quantised.probability:.1%})"


def _of_weight(tensor: TensorDamage) -> str:
    shape = " × ".join(map(str, tensor.shape))
    text = f"{short_name(tensor.name)} [{shape}] is off by {small(tensor.error)} of its norm"
    if tensor.output_error is None:
        return text
    return f"{text}; for the original's input its module returns what is off by {small(tensor.output_error)}"


def _worst(report: QuantisationReport, position: tuple[int, int]) -> str:
    """`after token 5 “·Paris”`"""
    if (damage := report.at(position)) is not None:
        return f"after {_token(damage)}"
    row, token = position
    return f"after {named_token(token, None)}{_of_row(row)}"


def _token(damage: PositionDamage) -> str:
    """`token 5 “·Paris” of row 1`"""
    return f"{named_token(damage.shift.token, damage.token)}{_of_row(damage.shift.row)}"


def _of_row(row: int) -> str:
    return f" of row {row}" if row else ""


def _guesses(report: QuantisationReport, position: tuple[int, int]) -> str:
    damage = report.at(position)
    return f": the original's most probable next token is {_guess(damage)}" if damage else ""
