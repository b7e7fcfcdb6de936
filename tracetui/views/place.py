"""Where an element of a tensor lies, in the words of its axes: `token 0 “The”, channel 507`."""

from __future__ import annotations

from tracetui.analysis.axes import Axis, axes_of, axis_positions, split_heads
from tracetui.analysis.distribution.outliers import Outliers
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.text import number
from tracetui.views.cells import Line, blank, line
from tracetui.views.inks import Inks
from tracetui.views.parts import fitted, part
from tracetui.views.tokens import token_label

_NOUNS = {
    "B": "row",
    "N": "row",
    "n": "row",
    "T": "token",
    "S": "key",
    "H": "head",
    "G": "kv head",
    "E": "expert",
    "A": "choice",
    "V": "id",
}
"""What an index along an axis counts; along any other last axis it counts channels."""
_LONGEST = 20


def element_place(trace: Trace, record: Record, element: tuple[int, ...]) -> str:
    """The words for an element's indices; tokens with their texts, and no row where there is one prompt."""
    axes = axes_of(record, trace.run.config)
    row = element[0] if axes and axes[0].name == "B" else 0
    words = []
    for place, (axis, index) in enumerate(zip(axes, element, strict=True)):
        if axis.name == "B" and axis.length == 1:
            continue
        if place == len(axes) - 1:
            words.append(f"{channel_name(trace, record, index)}{_token(trace, record, axis, row, index)}")
        elif (positions := _positions(trace, record, axis)) is not None and axis.name in "TN":
            words.append(f"token {positions[index]}{_token(trace, record, axis, row, index)}")
        else:
            at = axis.whole_index(index)
            words.append(f"{noun(axis.name, axis.name)} {at}{_token(trace, record, axis, row, index)}")
    return ", ".join(words)


def channel_name(trace: Trace, record: Record, channel: int) -> str:
    """An index of the last axis in words: `channel 507`, `head 3, channel 12`, `key 0`; of a part that of the whole."""
    axes, parts = axes_of(record, trace.run.config), split_heads(record, trace.run.config)
    channel = axes[-1].whole_index(channel)
    if parts is not None:
        head, channel = divmod(channel, parts[-1].length)
        return f"{noun(parts[-2].name, parts[-2].name)} {head}, channel {channel}"
    last = axes[-1]
    return f"{noun(last.name, 'channel')} {channel}"


def noun(axis: str, otherwise: str) -> str:
    """What an index along an axis of this letter counts."""
    return _NOUNS.get(axis, otherwise)


def _positions(trace: Trace, record: Record, axis: Axis) -> range | None:
    """The positions that an axis of queries or keys covers."""
    return axis_positions(axis.name, axis.length, trace, record.pass_)


def _token(trace: Trace, record: Record, axis: Axis, row: int, index: int) -> str:
    """The text of the token at an index of an axis of positions, after a blank."""
    positions = _positions(trace, record, axis)
    if positions is None or row >= len(trace.tokens) or positions[index] >= len(trace.tokens[row]):
        return ""
    token = trace.tokens[row][positions[index]]
    return f" “{token_label(token, _LONGEST)}”"


def outlier_line(trace: Trace, record: Record, outliers: Outliers, width: int, inks: Inks) -> Line:
    """`|max| 24904 at token 0 “The”, channel 507, which has 98.5% of the squares`; what has no room goes."""
    if outliers.largest is None:
        return blank(width)
    place = element_place(trace, record, outliers.largest)
    parts = [
        part(" |max| "),
        part(f"{number(abs(outliers.value), 5)} ", "", rank=1),
        part(f"at {place}" if place else ""),
    ]
    if outliers.channel is not None:
        share = f"{outliers.share:.1%}"
        if outliers.channel == outliers.largest[-1]:
            forms: tuple[str, ...] = f", which has {share} of the squares", f", {share} of the squares"
        else:
            forms = (f" · {channel_name(trace, record, outliers.channel)} has {share} of the squares",)
        parts.append(part(*forms, "", rank=2))
        more = [f"{channel_name(trace, record, each)} {of:.1%}" for each, of in outliers.further]
        parts.append(part(*(f" · then {', '.join(more[:most])}" for most in range(len(more), 0, -1)), "", rank=3))
    return line([("".join(fitted(parts, width)), inks.quiet)], width)
