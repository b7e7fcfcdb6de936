"""What quantising did as tables, the same for text, screen and report: of layers, weights and positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import isfinite

from tracetui.analysis.quantised.damage import (
    PositionDamage,
    QuantisationReport,
    SwapDamage,
    SwapKind,
    TensorDamage,
)
from tracetui.recording.record import Token
from tracetui.text import visible
from tracetui.views.tokens import token_label

_TOKEN = 24
"""Characters of a token's text."""


class Ranking(Enum):
    """What one table ranks."""

    LAYER = "layers"
    KIND = "kinds"
    MATRIX = "weights"
    POSITION = "positions"
    WEIGHT = "own errors"


@dataclass(frozen=True, slots=True)
class RankedRow:
    """One line of a table."""

    name: str
    cells: tuple[str, ...]
    size: float
    """What it is ranked by, and what its bar shows."""
    damage: SwapDamage | PositionDamage | TensorDamage


@dataclass(frozen=True, slots=True)
class RankedTable:
    """Rows with what their columns mean."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[RankedRow, ...]
    note: str = ""
    """What is to be known of its numbers."""

    @property
    def largest(self) -> float:
        """The size of a full bar."""
        return max((row.size for row in self.rows if isfinite(row.size)), default=0.0)

    def share(self, row: RankedRow) -> float:
        """The length of a row's bar, from 0 to 1."""
        return row.size / self.largest if self.largest and isfinite(row.size) else float(row.size > 0)


_TITLES = {
    Ranking.LAYER: "Each layer's weights swapped alone",
    Ranking.KIND: "Each kind of weight swapped alone, in all layers",
    Ranking.MATRIX: "Single weights swapped alone",
    Ranking.POSITION: "All weights swapped: what is predicted after each token",
    Ranking.WEIGHT: "Each weight's own error, and of what its module returns for the original's input",
}
_SWAPS = {Ranking.LAYER: SwapKind.LAYER, Ranking.KIND: SwapKind.KIND, Ranking.MATRIX: SwapKind.MATRIX}
_SWAP_HEADS = ("KL", "of whole", "same token")


def ranked(report: QuantisationReport, ranking: Ranking, in_order: bool = False) -> RankedTable:
    """One table, the most damaging first, or in the order of the model and of the prompts."""
    if ranking is Ranking.POSITION:
        rows = [_position_row(report, each) for each in report.by_position]
        heads: tuple[str, ...] = ("KL", "original", "quantised")
    elif ranking is Ranking.WEIGHT:
        rows = [_weight_row(each) for each in report.tensors]
        heads = ("weight off", "output off")
    else:
        swaps = [each for each in report.parts if each.part is _SWAPS[ranking]]
        rows = [_swap_row(report, each, ranking is Ranking.LAYER) for each in swaps]
        heads = (*_SWAP_HEADS, "output off") if ranking is Ranking.LAYER else _SWAP_HEADS
    if not in_order:
        rows.sort(key=lambda row: -row.size)
    return RankedTable(_TITLES[ranking], heads, tuple(rows), _note(report, ranking, rows))


def _note(report: QuantisationReport, ranking: Ranking, rows: Sequence[RankedRow]) -> str:
    if ranking is Ranking.LAYER and len(rows) > 1:
        total = small(sum(row.size for row in rows))
        return f"alone they add up to {total}; all weights swapped together make {small(report.whole.shift.divergence)}"
    return ""


def _swap_row(report: QuantisationReport, swap: SwapDamage, has_error: bool) -> RankedRow:
    shift = swap.shift
    error = (in_column(swap.layer_error) if swap.layer_error is not None else "",) if has_error else ()
    cells = (in_column(shift.divergence), share_of_whole(report, swap), f"{shift.agreement:.1%}", *error)
    return RankedRow(short_name(swap.name), cells, shift.divergence, swap)


def share_of_whole(report: QuantisationReport, swap: SwapDamage) -> str:
    """A swap's KL as a share of that of all weights together; empty where these do nothing."""
    whole = report.whole.shift.divergence
    return f"{swap.shift.divergence / whole:.0%}" if whole else ""


def _position_row(report: QuantisationReport, damage: PositionDamage) -> RankedRow:
    shift = damage.shift
    told = f"{label(damage.original)} {shift.original.probability:.1%}"
    moved = f"{label(damage.quantised)} {shift.quantised.probability:.1%}"
    return RankedRow(place_of(damage), (in_column(shift.divergence), told, moved), shift.divergence, damage)


def _weight_row(tensor: TensorDamage) -> RankedRow:
    output = "" if tensor.output_error is None else in_column(tensor.output_error)
    size = max(tensor.output_error or 0.0, tensor.error)
    return RankedRow(short_name(tensor.name), (in_column(tensor.error), output), size, tensor)


def place_of(damage: PositionDamage) -> str:
    """`5 ·Paris`, with the prompt's number where it isn't the first: `1:5 ·Paris`."""
    shift = damage.shift
    prompt = f"{shift.row}:" if shift.row else ""
    return f"{prompt}{shift.token} {label(damage.token)}"


def label(token: Token) -> str:
    """A token's text, or its number where no text is known."""
    return token_label(token, _TOKEN)


def short_name(name: str) -> str:
    """A weight's or layer's name without what all have in common."""
    return visible(name.removeprefix("model.").removesuffix(".weight"), 70)


def small(value: float) -> str:
    """A number with three digits."""
    return f"{value:.3g}"


def in_column(value: float) -> str:
    """The same below others, zeros at the end kept, so that it is seen how exact each is."""
    return f"{value:#.3g}".rstrip(".") if value else "0"
