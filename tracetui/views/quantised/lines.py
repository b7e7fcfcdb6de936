"""What `tracetui quantised` prints: the whole first, then what hurts most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracetui.analysis.quantised.damage import QuantisationReport, SwapDamage, SwapKind, TensorDamage
from tracetui.text import visible

_SOME = 12
_HEADS = {
    SwapKind.LAYER: "One layer's quantised weights in the original",
    SwapKind.KIND: "One kind of weight, in all layers",
    SwapKind.MATRIX: "One weight alone",
}


def quantised_lines(report: QuantisationReport, everything: bool = False) -> Iterator[str]:
    """The report as text; of long tables the most damaging rows, unless everything is wanted."""
    yield f"original   {visible(report.original, 100)}"
    yield f"quantised  {visible(report.quantised, 100)}"
    yield ""
    yield from _whole(report)
    for part, head in _HEADS.items():
        if rows := report.of(part):
            yield ""
            yield from _table(head, rows, report, None if everything else _SOME)
    yield ""
    yield from _tensors(report, None if everything else _SOME)
    for note in report.notes:
        yield f"note: {visible(note, 300)}"


def _whole(report: QuantisationReport) -> Iterator[str]:
    errors = sorted(tensor.error for tensor in report.tensors)
    shift, count = report.whole.shift, len(report.tensors)
    span = f"{_number(errors[0])} to {_number(errors[-1])}"
    yield f"{count:,} of {report.compared:,} weights differ, by {span} of their norm"
    row, token = shift.position
    where = f"{f'prompt {row}, ' if row else ''}token {token}"
    yield (
        f"next token: KL {_number(shift.divergence)} nats over {report.positions:,} positions, "
        f"at most {_number(shift.worst)} ({where}); the same token in {shift.agreement:.1%}"
    )


def _table(head: str, rows: Sequence[SwapDamage], report: QuantisationReport, most: int | None) -> Iterator[str]:
    listed = rows if most is None else rows[:most]
    width = max(len(_short(row.name)) for row in listed)
    yield f"{head} (KL {_number(sum(row.shift.divergence for row in rows))} in all)"
    has_errors = any(row.layer_error is not None for row in listed)
    last = "   its output is off by" if has_errors else ""
    yield f"  {'':<{width}} {'KL':>9} {'of whole':>9} {'same token':>11}{last}"
    whole = report.whole.shift.divergence
    for row in listed:
        share = f"{row.shift.divergence / whole:>9.0%}" if whole else f"{'':>9}"
        error = f"   {_number(row.layer_error)}" if row.layer_error is not None else ""
        agreement = f"{row.shift.agreement:>11.1%}"
        yield f"  {_short(row.name):<{width}} {_number(row.shift.divergence):>9} {share} {agreement}{error}"
    yield from _rest(len(rows) - len(listed))


def _tensors(report: QuantisationReport, most: int | None) -> Iterator[str]:
    rows = sorted(report.tensors, key=lambda tensor: -max(tensor.output_error or 0.0, tensor.error))
    listed: Sequence[TensorDamage] = rows if most is None else rows[:most]
    width = max(len(_short(row.name)) for row in listed)
    yield "Weights, the furthest first: by themselves, and what their modules return for the original's input"
    yield f"  {'':<{width}} {'weight':>9} {'output':>9}"
    for row in listed:
        output = "" if row.output_error is None else _number(row.output_error)
        yield f"  {_short(row.name):<{width}} {_number(row.error):>9} {output:>9}".rstrip()
    yield from _rest(len(rows) - len(listed))


def _rest(count: int) -> Iterator[str]:
    if count > 0:
        yield f"  and {count:,} more; --all shows all"


def _short(name: str) -> str:
    return visible(name.removeprefix("model.").removesuffix(".weight"), 70)


def _number(value: float) -> str:
    return f"{value:.3g}"
