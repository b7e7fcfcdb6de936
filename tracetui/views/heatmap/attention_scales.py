"""The scales of attention, on the screen, in pictures and in reports: a colour is the same number in every head."""

from __future__ import annotations

import math

from tracetui.analysis.attention.reach import Reach, largest
from tracetui.analysis.attention.scores import Matrix
from tracetui.views.heatmap.scale import Scale, ScaleKind
from tracetui.views.heatmap.scales import counted

_SMALLEST = 1e-6
"""Probabilities below it look like none when they go by decades."""
_DECADES = 3
"""Of scores, on either side of zero."""
ALL_HEADS, ONE_HEAD = "all heads", "this head alone"


def attention_scales(kind: str, matrix: Matrix, reach: Reach | None) -> dict[ScaleKind, Scale]:
    """The scales of a plane [T,S] of one head, the same for all heads; none where its own numbers span them.

    kind: `probs`, or one of the scores. Where the reach isn't known yet, scores have those of the one head, and say so.
    """
    if kind == "probs":
        scales = probability_scales(reach.share if reach else None)
        return {each: counted(scale, matrix) for each, scale in scales.items()} if largest(matrix) > 1 else scales
    if kind in ("scores", "masked", "absorbed_scores"):
        return score_scales(reach.score) if reach else score_scales(largest(matrix), ONE_HEAD)
    return {}


def probability_scales(largest: float | None = None) -> dict[ScaleKind, Scale]:
    """From 0 to 1, whatever a head's own numbers are; the first is shown unless another is asked for.

    largest: the largest probability of all heads of the layer, where it is known.
    """
    scales = {
        ScaleKind.ROOT: Scale(ScaleKind.ROOT, 0.0, 1.0),
        ScaleKind.LINEAR: Scale(ScaleKind.LINEAR, 0.0, 1.0),
        ScaleKind.LAYER: Scale(ScaleKind.LAYER, 0.0, largest or 1.0, spans=ALL_HEADS),
        ScaleKind.LOG: Scale(ScaleKind.LOG, _SMALLEST, 1.0, floor=_SMALLEST),
        ScaleKind.ROWS: Scale(ScaleKind.ROWS, 0.0, 1.0),
    }
    if largest is None or not 0 < largest < 1:
        del scales[ScaleKind.LAYER]
    return scales


def score_scales(largest: float, spans: str = ALL_HEADS) -> dict[ScaleKind, Scale]:
    """Around zero, as far as the largest size of a score before the mask of all heads of the layer."""
    reach = largest if largest > 0 and math.isfinite(largest) else 1.0
    floor = reach * 10.0**-_DECADES
    return {
        ScaleKind.LINEAR: Scale(ScaleKind.LINEAR, -reach, reach, True, spans=spans),
        ScaleKind.LOG: Scale(ScaleKind.LOG, -reach, reach, True, floor, spans=spans),
        ScaleKind.ROWS: Scale(ScaleKind.ROWS, -1.0, 1.0, True),
    }
