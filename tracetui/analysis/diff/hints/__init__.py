"""Faults that are known by the pattern they leave: each is named only with the numbers that speak for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tracetui.analysis.diff.feeds import Feeds
from tracetui.analysis.diff.hints.activation import activation
from tracetui.analysis.diff.hints.attention.fused import fused_rows
from tracetui.analysis.diff.hints.attention.half import half_precision
from tracetui.analysis.diff.hints.attention.hidden_rows import hidden_rows
from tracetui.analysis.diff.hints.attention.kernel import attention_call
from tracetui.analysis.diff.hints.attention.masks import mask_shift
from tracetui.analysis.diff.hints.attention.order import head_order
from tracetui.analysis.diff.hints.attention.output_gate import output_gate, query_cut
from tracetui.analysis.diff.hints.attention.scores import scores_alone
from tracetui.analysis.diff.hints.attention.slopes import other_slopes
from tracetui.analysis.diff.hints.capped import capped_logits
from tracetui.analysis.diff.hints.coarse import coarse
from tracetui.analysis.diff.hints.factor import factor, stream_scale
from tracetui.analysis.diff.hints.mixture.choice import expert_choice
from tracetui.analysis.diff.hints.mixture.weights import expert_weights
from tracetui.analysis.diff.hints.norms.left_out import norm_left_out
from tracetui.analysis.diff.hints.norms.norm import norm
from tracetui.analysis.diff.hints.norms.offsets import norm_kind, norm_offset
from tracetui.analysis.diff.hints.prompt_order import prompt_order
from tracetui.analysis.diff.hints.rope.base import given_turned, normed_late, rope_tables, turning
from tracetui.analysis.diff.hints.rope.positions import position_offset, rope_layout
from tracetui.analysis.diff.hints.scene import Hint, Scene
from tracetui.analysis.diff.hints.sums import residual_sum
from tracetui.analysis.diff.hints.weights.layer_weights import layer_weights
from tracetui.analysis.diff.hints.weights.linear import bias, permuted, tied_embeddings, transposed
from tracetui.analysis.diff.hints.weights.rows_of_weight import embedding_rows, rows_of_weight
from tracetui.analysis.diff.hints.weights.swapped import swapped
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff

Pattern = Callable[[Scene], Hint | None]

PATTERNS: tuple[Pattern, ...] = (
    rope_layout,
    rope_tables,
    turning,
    normed_late,
    given_turned,
    output_gate,
    query_cut,
    position_offset,
    head_order,
    fused_rows,
    mask_shift,
    hidden_rows,
    other_slopes,
    attention_call,
    half_precision,
    scores_alone,
    layer_weights,
    norm_offset,
    norm_kind,
    residual_sum,
    stream_scale,
    norm,
    expert_choice,
    expert_weights,
    coarse,
    factor,
    capped_logits,
    tied_embeddings,
    transposed,
    swapped,
    permuted,
    bias,
    rows_of_weight,
    prompt_order,
    embedding_rows,
    activation,
    norm_left_out,
)

OF_WEIGHTS: tuple[Pattern, ...] = (layer_weights, norm_offset, norm, factor, rows_of_weight)
"""Those that say how a weight is another, though it is close to the other side's: what a quantised one doesn't look
like."""

OF_INPUTS = (norm,)
"""Patterns that judge a module by its inputs alone, without recomputing it: no use where other code lies between."""


def hints(
    comparison: Comparison, first: SiteDiff, fed: Feeds, known: tuple[Pattern, ...] = PATTERNS
) -> tuple[Hint, ...]:
    """What the first divergence looks like: the first known pattern that explains it all, since another would
    contradict it.

    Nothing where its inputs differ already, or the prompts do, or both sides gave the module other tensors.
    """
    others = fed.given is not None and fed.given.sure
    if others or comparison.preface.tokens or any(input_.outcome is not Outcome.SAME for input_ in fed.found):
        return ()
    scene = Scene(comparison, first, fed)
    with np.errstate(all="ignore"):
        # Scores of masked experts are no numbers: only what knows of masks may look at them.
        masked = (expert_choice,) if scene.leaf == ":selection_scores" else ()
        for pattern in known:
            if not scene.sound and pattern not in masked:
                continue
            if fed.code and pattern in OF_INPUTS and not scene.enters_as_it_is:
                continue
            if hint := _tried(pattern, scene):
                return (hint,)
    return ()


def _tried(pattern: Pattern, scene: Scene) -> Hint | None:
    """The hint of a pattern; None where a file's tensors lead to equations that can't be solved."""
    try:
        return pattern(scene)
    except np.linalg.LinAlgError:
        return None
