"""Files of somebody's own may call anything by any name: the comparison is told all the same."""

from __future__ import annotations

import json
import warnings

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.analysis.diff.made import trace_of
from tracetui.analysis.diff.report import report
from tracetui.analysis.diff.survey import survey
from tracetui.analysis.diff.tree import tree_of
from tracetui.recording.value import Array
from tracetui.views.diff.as_json import diff_json
from tracetui.views.diff.report import diff_lines

BLOCK, ATTENTION = "model.layers.0.mlp", "model.layers.0.self_attn"
NAMES = [
    *(f"{BLOCK}{place}" for place in ("", ".gate", ".gate#1", ".gate#2", ".experts", ".experts.0", ".gate_up_proj")),
    *(f"{BLOCK}:{role}" for role in ("experts", "router_logits", "router_scores", "routing_weights")),
    *(f"{BLOCK}.experts.0:{role}" for role in ("in", "tokens")),
    *(f"{ATTENTION}{place}" for place in ("", ".q_proj", ".qkv_proj", ".o_proj", ":q", ":k", ":v", ":heads", ":mask")),
    *("model.layers.0", "model.layers.0:input", "model.layers.0.input_layernorm", "logits", "lm_head", "x", "@1.2#"),
]
shapes = st.one_of(
    st.sampled_from([(), (0,), (3,), (3, 2), (3, 0), (2, 1), (1, 3, 4), (1, 1, 4), (1, 2, 3, 2), (1, 3, 2, 2)]),
    hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=3),
)
dtypes = st.sampled_from(["float32", "float64", "int64", "uint64", "uint8", "bool", "complex64"])
arrays = shapes.flatmap(lambda shape: dtypes.flatmap(lambda dtype: hnp.arrays(dtype, shape)))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(NAMES), st.tuples(arrays, st.none() | arrays), min_size=1, max_size=8),
    st.booleans(),
    st.sampled_from([[], [[1, 2, 3]], [[1, 2], [3]]]),
)
def test_whatever_arrays_are_called_their_comparison_is_told(
    found: dict[str, tuple[Array, Array | None]], fuzzy: bool, tokens: list[list[int]]
) -> None:
    a = trace_of({name: one for name, (one, _) in found.items()}, tokens, dump=not tokens)
    other = {name: one if two is None else two for name, (one, two) in found.items()}
    b = trace_of(other, [row[:1] + [9] * len(row[1:]) for row in tokens], dump=not tokens)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = report(a, b, fuzzy=fuzzy)
        assert json.loads("".join(diff_json(told)))["compared"] == told.comparison.compared
        assert all(line.isprintable() for line in diff_lines(told, ("a", "b"), whole=True))
        assert tree_of(survey(told))
        assert not report(a, a).comparison.different
