"""What quantising did, for machines."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import asdict

from tracetui.analysis.quantised.damage import PositionDamage, QuantisationReport, SwapDamage
from tracetui.recording.record import Token
from tracetui.text import token_text

_COLUMNS = ("part", "name", "kl", "kl_worst", "worst_row", "worst_token", "same_token", "error", "output_error")


def quantised_json(report: QuantisationReport) -> Iterator[str]:
    """One document; a number that JSON has none for is null."""
    document = {
        "original": report.original,
        "quantised": report.quantised,
        "positions": report.positions,
        "compared": report.compared,
        "whole": _swap(report.whole),
        "parts": [_swap(part) for part in report.parts],
        "by_position": [_position(damage) for damage in report.by_position],
        "weights": [asdict(tensor) for tensor in report.tensors],
        "notes": list(report.notes),
    }
    yield json.dumps(_finite(document), indent=1, allow_nan=False)


def quantised_csv(report: QuantisationReport) -> Iterator[str]:
    """A row for the whole, for each part that was swapped by itself, for each position and for each weight."""
    for row in (_COLUMNS, *map(_row, (report.whole, *report.parts)), *_positions(report), *_weights(report)):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(row)
        yield line.getvalue()


def _row(swap: SwapDamage) -> tuple[object, ...]:
    shift = swap.shift
    numbers = (shift.divergence, shift.worst, *shift.position, shift.agreement)
    return (swap.part.value, swap.name, *numbers, "", "" if swap.layer_error is None else swap.layer_error)


def _positions(report: QuantisationReport) -> Iterator[tuple[object, ...]]:
    for damage in report.by_position:
        shift = damage.shift
        place = (shift.divergence, shift.divergence, shift.row, shift.token)
        yield ("position", token_text(damage.token.bytes), *place, int(damage.is_same), "", "")


def _weights(report: QuantisationReport) -> Iterator[tuple[object, ...]]:
    for tensor in report.tensors:
        output = "" if tensor.output_error is None else tensor.output_error
        yield ("weight", tensor.name, "", "", "", "", "", tensor.error, output)


def _swap(swap: SwapDamage) -> dict[str, object]:
    shift = swap.shift
    return {
        "part": swap.part.value,
        "name": swap.name,
        "kl": shift.divergence,
        "kl_worst": shift.worst,
        "worst_position": list(shift.position),
        "same_token": shift.agreement,
        "output_error": swap.layer_error,
    }


def _position(damage: PositionDamage) -> dict[str, object]:
    shift = damage.shift
    return {
        "row": shift.row,
        "token": shift.token,
        "id": damage.token.id,
        "text": token_text(damage.token.bytes),
        "kl": shift.divergence,
        "original": _guess(damage.original, shift.original.probability),
        "quantised": _guess(damage.quantised, shift.quantised.probability),
    }


def _guess(token: Token, probability: float) -> dict[str, object]:
    return {"id": token.id, "text": token_text(token.bytes), "probability": probability}


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(member) for name, member in value.items()}
    return [_finite(member) for member in value] if isinstance(value, list | tuple) else value
