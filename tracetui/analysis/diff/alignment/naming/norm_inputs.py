"""What a hook kept of what a norm was given, beside the stream that a trace records at that place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from tracetui.analysis.diff.alignment.likeness import same_values
from tracetui.analysis.diff.alignment.named import Named
from tracetui.recording.record import layer_of, plain_site
from tracetui.recording.trace import Trace

_GIVEN = ":input"
_STREAM = (":attn_residual", ":input")
"""Where in a layer the stream is recorded: as it is after attention, and as it comes in."""


def through_norm_inputs(
    rest_a: dict[str, Named], rest_b: dict[str, Named], a: Trace, b: Trace
) -> Iterator[tuple[Named, Named]]:
    """Pairs of a norm's input, alone on its side, and the stream, alone on the other; removed from both rests.

    Families differ in what their norms are given, so that values have to tell: without the same ones there is no pair.
    """
    for site, there in _pairs(rest_a, rest_b, a, b):
        stream = rest_b.pop(there)
        yield replace(rest_a.pop(site), site=stream.site), stream
    for site, there in _pairs(rest_b, rest_a, b, a):
        stream = rest_a.pop(there)
        yield stream, replace(rest_b.pop(site), site=stream.site)


def _pairs(
    given: Mapping[str, Named], streams: Mapping[str, Named], own: Trace, other: Trace
) -> Iterator[tuple[str, str]]:
    """The sites of norms' inputs on one side with those of the stream on the other."""
    for site, named in list(given.items()):
        norm, role, when = site.rpartition(_GIVEN)
        layer = layer_of(site)
        if not role or layer is None or "norm" not in plain_site(norm).rpartition(".")[2]:
            continue
        places = (f"model.layers.{layer}{place}{when}" for place in _STREAM)
        there = next(
            (place for place in places if place in streams and same_values(named, streams[place], own, other)), ""
        )
        if there:
            yield site, there
