"""The report's layers: the residual stream as a line, a row of numbers for each, and every record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from tracetui.analysis.axes import describe_shape
from tracetui.analysis.distribution.bit_counts import Floats
from tracetui.analysis.distribution.outliers import NO_OUTLIERS, outliers_of
from tracetui.analysis.distribution.robust_range import by_decades
from tracetui.analysis.residual import ResidualPoint, broken_from
from tracetui.analysis.residual_tokens import ResidualMeasure, residual_sizes
from tracetui.export.report.markup import Html, bar, el, folds, join, more, row, section, table
from tracetui.recording.record import Record, is_layer
from tracetui.recording.trace import Trace
from tracetui.recording.value import is_kept
from tracetui.text import number, statistic
from tracetui.views.place import element_place

_WIDTH, _HEIGHT = 1080, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 14, 30
_X_LABELS = 18
_MANY = 60
"""Points beyond which each is drawn smaller."""
_ELEMENTS = 1 << 27
"""Of all layers' outputs together, up to which the largest of each is looked for."""
_RECORDS = 3000
"""In all; a browser shows more only slowly."""


def residual_part(trace: Trace) -> Html:
    """The residual stream's size over the layers, on a logarithmic scale; nothing where it wasn't recorded."""
    sizes = residual_sizes(trace)
    recorded = sizes.points
    points = [point for point in recorded if math.isfinite(point.l2) and point.l2 > 0]
    broken = broken_from(recorded)
    if len(points) < 2 and broken is None:
        return Html("")
    lost = Html("") if broken is None else el("p", f"NaN or infinities from {_place(broken.label)} on: no norm.")
    where = " of row 0" if len(trace.tokens) > 1 else ""
    whose = {
        ResidualMeasure.MEDIAN: f"The L2 norm of the median token{where}",
        ResidualMeasure.WHOLE: f"The L2 norm{where} over all tokens",
    }
    lead = f"{whose[sizes.measure]} as it enters, after each layer's attention (hollow) and after each layer (filled)."
    drawn = _chart(points) if len(points) > 1 else Html("")
    return section("residual", "Residual stream", join(lost, drawn), lead=lead)


def _place(label: str) -> str:
    return f"layer {label}" if label[:1].isdigit() else label


def _chart(points: Sequence[ResidualPoint]) -> Html:
    logs = [math.log10(point.l2) for point in points]
    low, high = min(logs), max(logs)
    spread = max(high - low, 0.05)
    low, high = low - 0.06 * spread, low + 1.06 * spread
    across = (_WIDTH - _LEFT - _RIGHT) / (len(points) - 1)
    places = [
        (_LEFT + across * at, _TOP + (high - log) / (high - low) * (_HEIGHT - _TOP - _BOTTOM))
        for at, log in enumerate(logs)
    ]
    line = el("polyline", points=Html(" ".join(f"{x:.1f},{y:.1f}" for x, y in places)))
    radius = 4.0 if len(points) <= _MANY else 2.5
    dots = (_dot(point, radius, *place) for point, place in zip(points, places, strict=True))
    box = Html(f"0 0 {_WIDTH} {_HEIGHT}")
    drawn = (*_grid(low, high), line, *dots, *_labels(points, across))
    chart = el("svg", *drawn, viewBox=box, class_="line", role="img", aria_label="residual norm by layer")
    return el("div", chart, class_="scroll")


def _dot(point: ResidualPoint, radius: float, x: float, y: float) -> Html:
    kind = "half" if point.label.endswith("attn") else "whole"
    title = el("title", f"{point.label}: {number(point.l2)}")
    return el("circle", title, cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{radius}", class_=kind)


def _grid(low: float, high: float) -> Iterator[Html]:
    for step in range(5):
        log = low + (high - low) * step / 4
        y = f"{_TOP + (high - log) / (high - low) * (_HEIGHT - _TOP - _BOTTOM):.1f}"
        yield el("line", x1=str(_LEFT), x2=str(_WIDTH - _RIGHT), y1=y, y2=y, class_="grid")
        yield el("text", f"{10**log:.3g}", x=str(_LEFT - 8), y=y, text_anchor="end", dominant_baseline="middle")


def _labels(points: Sequence[ResidualPoint], across: float) -> Iterator[Html]:
    """Names of layers, as many as there is room for."""
    named = [(at, point.label) for at, point in enumerate(points) if not point.label.endswith("attn")]
    for at, label in named[:: max(1, math.ceil(len(named) / _X_LABELS))]:
        yield el("text", label, x=f"{_LEFT + across * at:.1f}", y=str(_HEIGHT - 8), text_anchor="middle")


def layer_part(trace: Trace) -> Html:
    """A row for each layer in each pass: what leaves it, and what its attention and FFN add."""
    found = [record for record in trace.records if is_layer(record.site) and not record.part]
    if not found:
        return Html("")
    sizes = np.array([trace.statistics(record).l2 for record in found])  # [layers]
    bars = _bars(sizes)
    shown = found[:_RECORDS]
    is_read = sum(record.numel for record in shown) <= _ELEMENTS
    rows = [_layer_row(trace, record, share, is_read) for record, share in zip(shown, bars.tolist(), strict=False)]
    heads = (
        "layer",
        "L2",
        "by decades" if by_decades(sizes) else "",
        "largest",
        "attention adds",
        "FFN adds",
        "mean",
        "std",
        "min",
        "max",
        "NaN, Inf",
        "ms",
    )
    lead = (
        "The output of each layer over all tokens, of what is finite; and the norm of what attention and FFN add to it."
    )
    return section("layers", "Layers", table(heads, rows, "wide"), more(len(found) - _RECORDS, "layers"), lead=lead)


def _bars(sizes: Floats) -> Floats:
    """The length of each layer's bar, of the largest one's; in decades where sizes span some."""
    # A file may have any numbers for them.
    sizes = np.where(sizes >= 0, sizes, np.nan)
    finite = sizes[np.isfinite(sizes)]
    with np.errstate(all="ignore"):
        if not by_decades(sizes):
            return sizes / (finite.max(initial=0.0) or 1.0)
        decades: Floats = np.log10(sizes / finite.min()) + 1
        return decades / np.nanmax(decades)


def _largest(trace: Trace, record: Record) -> str:
    """`24904 at token 0 The, channel 507`; a dash where there are no values."""
    value = trace.value(record)
    outliers = outliers_of(value) if is_kept(value) else NO_OUTLIERS
    if outliers.largest is None:
        return "–"
    return f"{number(outliers.value, 5)} at {element_place(trace, record, outliers.largest)}"


def _layer_row(trace: Trace, record: Record, share: float, is_read: bool) -> Html:
    found = trace.statistics(record)
    name = f"{record.layer}{f' in pass {record.pass_}' if record.pass_ else ''}"
    odd = found.nan + found.posinf + found.neginf
    return row(
        name,
        statistic(found.l2),
        bar(share) if found.finite_count else "",
        _largest(trace, record) if is_read else "–",
        _added(trace, record, ("self_attn", "attn", "attention")),
        _added(trace, record, ("mlp", "feed_forward", "block_sparse_moe", "ffn")),
        *map(statistic, (found.mean, found.std, found.min, found.max)),
        el("td", f"{odd:,}", class_="bad") if odd else "–",
        "–" if record.seconds is None else f"{1000 * record.seconds:.1f}",
    )


def _added(trace: Trace, layer: Record, names: tuple[str, ...]) -> str:
    suffix = layer.key.removeprefix(layer.site)
    found = (trace.find(f"{layer.site}.{name}{suffix}") for name in names)
    record = next((record for record in found if record is not None), None)
    return "–" if record is None else statistic(trace.statistics(record).l2)


def record_part(trace: Trace) -> Html:
    """Every record, folded by layer, single experts left out; bounded in all."""
    groups: dict[str, list[Record]] = {}
    single = 0
    for record in trace.records:
        if ".experts." in record.site:
            single += 1
            continue
        name = "outside of all layers" if record.layer is None else f"layer {record.layer}"
        groups.setdefault(name, []).append(record)
    shown, room = [], _RECORDS
    for name, records in groups.items():
        shown.append(_group(trace, name, records[: max(room, 0)], len(records)))
        room -= len(records)
    left = more(single, "records of single experts")
    lead = "What was recorded, in order of completion, with statistics over all that is finite."
    return section("records", "Records", folds(*shown), left, lead=lead)


def _group(trace: Trace, name: str, records: Sequence[Record], count: int) -> Html:
    heads = ("site", "shape", "dtype", "L2", "mean", "std", "min", "max", "NaN, Inf")
    rows = [_record_row(trace, record) for record in records]
    summary = el("summary", name, el("span", f"{count:,} records", class_="quiet"))
    return el(
        "details", summary, table(heads, rows, "wide") if rows else Html(""), more(count - len(records), "records")
    )


def _record_row(trace: Trace, record: Record) -> Html:
    found = trace.statistics(record)
    odd = found.nan + found.posinf + (0 if record.role in ("mask", "masked", "selection_scores") else found.neginf)
    return row(
        el("td", record.key, class_="site"),
        describe_shape(record, trace.run),
        record.dtype,
        *map(statistic, (found.l2, found.mean, found.std, found.min, found.max)),
        el("td", f"{odd:,}", class_="bad") if odd else "–",
    )
