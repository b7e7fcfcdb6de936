"""Which matrix a picture shows: a head's attention, or two axes of any tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tracetui.analysis.attention.kinds import Kind
from tracetui.analysis.attention.reach import reach_of
from tracetui.analysis.attention.scores import AttentionView, attention_at
from tracetui.analysis.axes import axes_of, axis_positions
from tracetui.errors import InputError
from tracetui.export.choice import ChosenPart, chosen
from tracetui.export.picture import Picture, PictureAxis
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.text import visible
from tracetui.views.heatmap.attention_scales import attention_scales
from tracetui.views.heatmap.scale import Scale, ScaleKind
from tracetui.views.heatmap.scales import NumberRange, counted, number_range, outlier_scales
from tracetui.views.tokens import token_label

MOST = 1 << 26
"""Elements of one picture: 512 MiB of float64, and as much again to draw them."""
_PROMPT = 60
"""Characters of the prompt in a title."""
_KINDS: dict[Kind, str] = {"scores": "scores before the mask", "masked": "masked scores", "probs": "probabilities"}
_WORDS: dict[Kind, str] = {"scores": "score before the mask", "masked": "score", "probs": "attention probability"}


@dataclass(frozen=True, slots=True)
class Picked:
    """What the options of a picture say; None is not said."""

    head: int | None = None
    row: int | None = None
    kind: Kind | None = None
    scale: ScaleKind | None = None

    @property
    def of_attention(self) -> bool:
        """Whether something is said that only attention has."""
        return (self.head, self.row, self.kind) != (None, None, None)


def heatmap(trace: Trace, site: str, option: str, picked: Picked) -> Picture:
    """The picture that `SITE` and the options mean. Raises InputError naming the option."""
    query = trace.find(f"{site}:q")
    if query is None:
        choice = chosen(trace, site, option)
        if not picked.of_attention and choice.record.role != "q":
            return _tensor(trace, choice, option, picked.scale)
        query = choice.record
    view = attention_at(trace, query)
    if view is None:
        raise InputError(
            f"{option}: {visible(site, 100)}: no attention was recorded there; without --head, --kind: a tensor"
        )
    return _attention(view, picked, option)


def _attention(view: AttentionView, picked: Picked, option: str) -> Picture:
    head, row, kind = picked.head or 0, picked.row or 0, picked.kind or "probs"
    for name, place, count in (("--head", head, view.heads), ("--row", row, view.batch)):
        if not 0 <= place < count:
            raise InputError(f"{name}: {view.site} has {name[2:]}s 0 to {count - 1}, got {place}")
    _check_size(view.query.shape[2] * view.key.shape[2], option)
    sizes = (("query", view.query.shape[2]), ("key", view.key.shape[2]))
    rows, columns = (positions(view.trace, row, *each, view.query.pass_) for each in sizes)
    title = f"{view.site}  head {head} of 0–{view.heads - 1}{f', row {row}' if view.batch > 1 else ''}"
    matrix, hidden = view.plane(kind, head, row)
    values = np.where(hidden, np.float32(-np.inf), matrix)  # [T,S]
    lowest = "hidden by the mask" if kind == "probs" else "masked, -inf"
    reach = reach_of(view, row) if kind != "probs" or picked.scale is ScaleKind.LAYER else None
    scale = _scale(attention_scales(kind, values, reach), picked.scale)
    about = subtitle(view.trace, view.query, row, _KINDS[kind])
    signed = kind != "probs"
    return Picture(values, rows, columns, title, _WORDS[kind], signed, lowest, scale, about)


def _scale(scales: Mapping[ScaleKind, Scale], asked: ScaleKind | None) -> Scale:
    """The one asked for, or the first. Raises InputError where there is none such."""
    if asked is None:
        return next(iter(scales.values()))
    if asked not in scales:
        raise InputError(f"--scale: these numbers have {', '.join(scales)}, not {asked}")
    return scales[asked]


def subtitle(trace: Trace, record: Record, row: int, kind: str = "") -> str:
    """`llama-tiny · layer 5 · probabilities · pass 1 · “The answer …”`: what of it is known."""
    tokens = trace.tokens[row] if row < len(trace.tokens) else ()
    prompt = b"".join(token.bytes for token in tokens if not token.special).decode("utf-8", "replace")
    parts = (
        trace.run.model,
        "" if record.layer is None else f"layer {record.layer}",
        kind,
        f"pass {record.pass_}" if record.pass_ else "",
        f"“{visible(prompt, _PROMPT)}”" if prompt else "",
    )
    return " · ".join(part for part in parts if part)


def _tensor(trace: Trace, choice: ChosenPart, option: str, asked: ScaleKind | None) -> Picture:
    """The last two axes, or the two that the part leaves; of those before them the first place."""
    names = [axis.name for axis in axes_of(choice.record, trace.run.config)]
    index, sides = _two_axes(choice, option)
    values = trace.value(choice.record).read(tuple(index))
    values = (abs(values) if values.dtype.kind == "c" else values).astype(np.float64)
    axes = [_axis(trace, choice.record, names, index, axis) for axis in sides]
    fixed = ", ".join(f"{name}={part}" for name, part in zip(names, index, strict=True) if isinstance(part, int))
    title = f"{choice.record.key}  {fixed and f'[{fixed}]'}".rstrip()
    rows = axes[0] if len(axes) == 2 else PictureAxis("")
    matrix = np.atleast_2d(values)
    signed = bool((values < 0).any())
    numbers = number_range([matrix])
    scale = None if numbers is None else _scale(_tensor_scales(matrix, numbers, signed), asked)
    about = subtitle(trace, choice.record, 0)
    return Picture(matrix, rows, axes[-1], title, "value", signed, scale=scale, subtitle=about)


def _tensor_scales(matrix: Array, numbers: NumberRange, signed: bool) -> dict[ScaleKind, Scale]:
    """As the screen's map of a tensor has them, from zero or around it."""
    scales = {kind: counted(scale, matrix) for kind, scale in outlier_scales([matrix], numbers, signed).items()}
    if not signed:
        high = scales[ScaleKind.LINEAR].high
        scales[ScaleKind.LINEAR] = replace(scales[ScaleKind.LINEAR], low=0.0, high=high if high > 0 else 1.0)
        scales[ScaleKind.ROOT] = replace(scales[ScaleKind.LINEAR], kind=ScaleKind.ROOT)
    scales[ScaleKind.ROWS] = Scale(ScaleKind.ROWS, -1.0 if signed else 0.0, 1.0, signed)
    return scales


def _two_axes(choice: ChosenPart, option: str) -> tuple[list[int | slice], list[int]]:
    """The index of a picture, and which one or two axes it leaves. Raises InputError if it is none."""
    shape = choice.record.shape
    index = [*choice.index, *[slice(None)] * (len(shape) - len(choice.index))]
    places = {axis: range(shape[axis])[part] for axis, part in enumerate(index) if isinstance(part, slice)}
    sides = list(places)[-2:]
    if not sides:
        raise InputError(f"{option}: {visible(choice.record.key, 100)}: a single number is no picture")
    _check_size(math.prod(map(len, places.values())) and math.prod(len(places[axis]) for axis in sides), option)
    for axis in places.keys() - set(sides):
        index[axis] = places[axis][0]
    return index, sides


def _axis(trace: Trace, record: Record, names: list[str], index: list[int | slice], axis: int) -> PictureAxis:
    """A whole axis of tokens has their texts."""
    row = index[names.index("B")] if "B" in names else 0
    if names[axis] not in ("T", "S", "N") or index[axis] != slice(None) or not isinstance(row, int):
        return PictureAxis(names[axis])
    return positions(trace, row, names[axis], record.shape[axis], record.pass_)


def positions(trace: Trace, row: int, axis: str, length: int, pass_: int, name: str = "") -> PictureAxis:
    """An axis of positions, with the texts of a row's tokens where they are known."""
    places = axis_positions(axis, length, trace, pass_)
    first = places.start if places is not None else 0
    return PictureAxis(name or axis, labels(trace, row, axis, length, pass_), first)


def labels(trace: Trace, row: int, axis: str, length: int, pass_: int) -> tuple[str, ...]:
    """The texts of a row's tokens, or their ids, along an axis of a pass; none where it has another length."""
    tokens = trace.tokens[row] if row < len(trace.tokens) else ()
    positions = axis_positions(axis, length, trace, pass_)
    if positions is None or positions.stop > len(tokens):
        return ()
    return tuple(token_label(token, 40) for token in tokens[positions.start : positions.stop])


def _check_size(elements: int, option: str) -> None:
    if not 0 < elements <= MOST:
        raise InputError(f"{option}: {elements:,} elements are no picture; give a part like SITE[0, :512, :512]")
