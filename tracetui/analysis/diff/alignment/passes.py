"""How a plain file, which knows no tokens, stands to another run: in passes, or with some of its positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracetui.analysis.diff.alignment.partial import place_of_part
from tracetui.analysis.diff.alignment.placement import Common, Placement, batch_of, pass_count, pass_width
from tracetui.recording.trace import Trace


def common_passes(a: Trace, b: Trace) -> Common | None:
    """How a plain file's passes stand to one pass over as many positions, where lengths alone can tell it."""
    passes = (pass_count(a), pass_count(b))
    batches = [batch_of(trace) for trace in (a, b)]
    if max(passes) == 1:
        return common_part(a, b)
    if passes[0] == passes[1] or 1 not in passes or batches[0] != batches[1] or not batches[0]:
        return None
    places = [
        Placement(
            rows=tuple(range(batches[0])),
            padded=(0,) * batches[0],
            batch=batches[0],
            width=pass_width(trace, 0),
            passes=count,
            later=tuple(pass_width(trace, pass_) or 1 for pass_ in range(1, count)),
        )
        for trace, count in zip((a, b), passes, strict=True)
    ]
    several, one = sorted(places, key=lambda place: -place.passes)
    common = min(several.passes, one.width - several.width + 1)
    if several.width < 2 or common < 2 or any(count != 1 for count in several.later):
        return None
    lengths = (several.width,) * batches[0]
    return Common(places[0], places[1], lengths, common, tuple(told_of_passes(places, lengths, common)), True)


def common_part(a: Trace, b: Trace) -> Common | None:
    """How a run of some positions stands to one of all: one that goes on from a cache, or what a script kept."""
    widths, batches = [pass_width(trace, 0) for trace in (a, b)], [batch_of(trace) for trace in (a, b)]
    if widths[0] == widths[1] or not all(widths) or batches[0] != batches[1]:
        return None
    part, whole = ((a, b), (b, a))[widths[0] > widths[1]]
    width, all_positions = sorted(widths)
    past = place_of_part(part, whole, width, all_positions)
    if past is None:
        return None
    places = [
        Placement(
            rows=tuple(range(batches[0])),
            padded=(0,) * batches[0],
            batch=batches[0],
            width=own,
            passes=1,
            past=past if trace is whole else 0,
        )
        for trace, own in zip((a, b), widths, strict=True)
    ]
    names = ("A", "B") if part is a else ("B", "A")
    spans = f"position {past}" if width == 1 else f"positions {past} to {past + width - 1}"
    words = f"{names[0]} stands beside {spans} of {names[1]}, as if it went on from a cache of those before"
    return Common(places[0], places[1], (width,) * batches[0], 1, (words if past else words.partition(",")[0],), True)


def told_of_passes(places: Sequence[Placement], lengths: tuple[int, ...], passes: int) -> Iterator[str]:
    a, b = places
    if a.passes != b.passes:
        generated, whole = ("A", "B") if a.passes > b.passes else ("B", "A")
        last = lengths[0] + passes - 2
        together = "pass 0" if passes == 1 else f"passes 0 to {passes - 1}"
        verb = "stands" if passes == 1 else "stand"
        yield f"{together} of {generated} {verb} beside positions 0 to {last} of {whole}'s one pass"
