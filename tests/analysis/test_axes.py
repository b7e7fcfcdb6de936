"""What the axes of routing's records are called."""

from __future__ import annotations

import pytest

from tests.tiny_moe import DEEPSEEK, whole_trace
from tracetui.analysis.axes import axes_of, describe


@pytest.mark.parametrize(
    ("role", "named"),
    [
        (":router_logits", "[N=17, E=16]"),
        (":selection_scores", "[N=17, E=16]"),
        (":selection_bias", "[E=16]"),
        (":experts", "[N=17, A=4]"),
        (":routing_weights", "[N=17, A=4]"),
        (".experts.{}:tokens", "[n={}]"),
        (".experts.{}:in", "[n={}, D=32]"),
        (".experts.{}", "[n={}, D=32]"),
        (".shared_experts", "[B=1, T=17, D=32]"),
    ],
)
def test_records_of_a_block(role: str, named: str) -> None:
    trace = whole_trace(DEEPSEEK).trace
    block = "model.layers.2.mlp"
    expert = int(trace[f"{block}:experts"][0, 0])
    count = len(trace[f"{block}.experts.{expert}:tokens"])
    record = trace.find(f"{block}{role.format(expert)}")
    assert record is not None
    assert describe(axes_of(record, DEEPSEEK.config)) == named.format(count)
