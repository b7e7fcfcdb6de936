"""What the axes of routing's records are called."""

from __future__ import annotations

import pytest

from tests.tiny_moe import DEEPSEEK, whole_trace
from tracetui.analysis.axes import axes_of, describe, describe_shape, split_heads
from tracetui.recording.parallel import Parallel, Place, shard
from tracetui.recording.record import Record
from tracetui.recording.trace import RunInfo


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


RANK = RunInfo(config={"hidden_size": 64, "num_attention_heads": 8}, parallel=Parallel(2, 0, {"tp": 2}, {"tp": 0}))
HALF = shard(2, of=2, at=0, offset=0, length=32, size=64)


@pytest.mark.parametrize(
    ("site", "shape", "place", "shown"),
    [
        ("model.layers.0", (1, 9, 32), HALF, "[B=1, T=9, D=32 of 64 · rank 0 of 2]"),
        ("model.layers.0", (1, 9, 64), Place(), "[B=1, T=9, D=64]"),
        ("a.mlp.experts.3", (5, 64), Place(partial=("tp",)), "[n=5, D=64 · partial sum, rank 0 of 2]"),
        ("a.mlp:experts", (9, 2), Place(experts=(4, 4)), "[N=9, A=2 · experts 4 to 7 alone, rank 0 of 2]"),
        (
            *("a:k", (1, 1, 9, 8)),
            *(shard(1, of=2, at=0, offset=0, length=1, size=2), "[B=1, G=1 of 2, S=9, K=8 · rank 0 of 2]"),
        ),
    ],
)
def test_a_part_says_of_what_and_whose(site: str, shape: tuple[int, ...], place: Place, shown: str) -> None:
    assert describe_shape(Record(0, site, shape, "float32", 0, place=place), RANK) == shown


def test_heads_of_a_part_are_as_wide_as_those_of_the_whole() -> None:
    heads = split_heads(Record(0, "a.q_proj", (1, 9, 32), "float32", 0, place=HALF), RANK.config)
    assert heads is not None
    assert describe(heads) == "[B=1, T=9, H=4 of 8, K=8]"
