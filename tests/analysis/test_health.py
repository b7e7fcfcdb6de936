"""Who made what isn't finite: by names, by order, and where that can't be told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.diff.made import trace_of
from tests.expr.made import FIRST, ask, made
from tracetui.analysis.health.diagnosis import (
    HealthPart,
    bad_elements,
    diagnose,
    frames,
    near_limit,
    near_limits,
    producers,
    verdict,
)
from tracetui.recording.summary import describe
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue, Index
from tracetui.views.health.lines import frame_lines, health_lines, near_limit_lines

BAD = FIRST.copy()
BAD[0, 1, 2] = np.nan
BAD[0, 1, 3] = np.inf


def llama(**bad: Array) -> Trace:
    """One layer with transformers' names, some of its records bad."""
    names = (
        "model.embed_tokens",
        "model.layers.0:input",
        "model.layers.0.input_layernorm",
        "model.layers.0.self_attn.q_proj",
        "model.layers.0.self_attn.v_proj",
        "model.layers.0.self_attn.o_proj",
        "model.layers.0.self_attn",
        "model.layers.0:attn_residual",
        "model.layers.0.post_attention_layernorm",
        "model.layers.0.mlp.gate_proj",
        "model.layers.0.mlp.up_proj",
        "model.layers.0.mlp.down_proj",
        "model.layers.0.mlp",
        "model.layers.0",
    )
    return made(*((name, bad.get(name.rpartition(".")[2].rpartition(":")[2], FIRST)) for name in names))


def test_the_producer_is_told_from_those_that_pass_it_on() -> None:
    trace = llama(up_proj=BAD, down_proj=BAD, mlp=BAD, **{"0": BAD})
    last = trace.records[-1]
    assert verdict(trace, last).part is HealthPart.CARRIES
    assert [bad.site for bad in verdict(trace, last).bad] == ["model.layers.0.mlp"]
    assert [found.record.site for found in producers(trace, last)] == ["model.layers.0.mlp.up_proj"]
    origin = producers(trace, last)[0]
    assert (origin.part, origin.by_name) == (HealthPart.PRODUCES, True)
    assert [fed.site for fed in origin.fed_by] == ["model.layers.0.post_attention_layernorm"]


def test_a_sibling_that_is_bad_too_is_no_input() -> None:
    """v_proj stands after a bad q_proj, but both are made from the norm's output: two producers."""
    trace = llama(q_proj=BAD, v_proj=BAD, o_proj=BAD)
    found = producers(trace, trace.records[5])
    assert [one.record.site_in_layer for one in found] == [".self_attn.v_proj"]
    assert verdict(trace, trace.records[4]).part is HealthPart.PRODUCES


def test_unknown_names_are_judged_by_the_order_of_execution() -> None:
    trace = made(("net.a", FIRST), ("net.b", BAD), ("net.c.inner", BAD), ("net.c", BAD), ("net", BAD))
    found = verdict(trace, trace.records[3])
    assert (found.part, found.by_name) == (HealthPart.CARRIES, False)
    assert [fed.site for fed in found.fed_by] == ["net.c.inner"]
    assert [one.record.site for one in producers(trace, trace.records[4])] == ["net.b"]
    lines = "\n".join(line.text for line in health_lines(trace, diagnose(trace, trace.records[4]), 100))
    assert "It comes from net.b" in lines
    assert "as far as the order of execution" in lines


def test_the_first_record_cannot_be_judged() -> None:
    trace = made(("model.embed_tokens", BAD), ("model.layers.0:input", BAD))
    assert verdict(trace, trace.records[0]).part is HealthPart.UNTOLD
    assert producers(trace, trace.records[1])[0].record.site == "model.embed_tokens"


def test_a_masks_infinity_makes_no_producer() -> None:
    hidden = np.full((1, 1, 3, 3), -np.inf, np.float32)
    trace = made(("model.layers.0.self_attn:mask", hidden), ("model.layers.0.self_attn:heads", BAD))
    assert verdict(trace, trace.records[1]).part is HealthPart.PRODUCES


def test_growth_is_against_what_feeds_a_record() -> None:
    trace = llama(up_proj=5 * FIRST, down_proj=15 * FIRST)
    found = {frame.record.site_in_layer: frame for frame in frames(trace, trace.records[-1])}
    assert found[".mlp.up_proj"].growth == pytest.approx(5)
    assert found[".mlp.down_proj"].growth == pytest.approx(3)
    assert found[".mlp.down_proj"].absmax == 15 * 8
    assert found[".mlp.down_proj"].l2 == pytest.approx(15 * float(np.linalg.norm(FIRST)))


def test_the_elements_concerned_are_named_along_every_axis() -> None:
    trace = llama(up_proj=BAD)
    record = trace.records[10]
    found = bad_elements(trace, record)
    assert found is not None
    assert (found.count, found.numel) == (2, 12)
    assert [places.tolist() for places in found.per_axis] == [[0], [1], [2, 3]]
    assert [index for index, _ in found.first] == [(0, 1, 2), (0, 1, 3)]
    lines = "\n".join(line.text for line in health_lines(trace, diagnose(trace, record), 100))
    assert "along T: 1 of 3 places: token 1 “t1”" in lines
    assert "1 NaN, 1 +Inf of 12" in lines
    assert "✗" in lines


def test_statistics_alone_still_name_the_producer() -> None:
    trace = made(("net.a", FIRST), ("net.b", BAD), kept=False)
    found = diagnose(trace, trace.records[1])
    assert found.producers[0].part is HealthPart.PRODUCES
    assert found.elements is None
    assert any("not kept" in line.text for line in health_lines(trace, found, 80))


def test_nearness_to_the_largest_number_is_a_share_of_the_elements() -> None:
    values = np.array([1, 2, 40000, 60000], np.float16)
    trace = made(("a", values), ("b", values.astype(np.float32)), ("c", values / np.float16(4)))
    found = near_limit(trace, trace.records[0])
    assert found is not None
    assert found.share == 0.5
    assert near_limit(trace, trace.records[1]) is None, "float32 is far from its limit"
    assert near_limit(trace, trace.records[2]) is None
    assert "50.000% of its values are within 2× of the largest float16 (6.55e+04)" in next(near_limit_lines(trace))


def test_a_tensor_without_a_finite_value_has_no_size() -> None:
    trace = made(("net.a", FIRST), ("net.b", np.full_like(FIRST, np.nan)))
    last = frames(trace, trace.records[1])[-1]
    assert np.isnan(last.absmax)
    assert last.growth is None
    assert list(frame_lines([last], 80))[1].split()[-3:] == ["–"] * 3


class Unread(ArrayValue):
    """A value whose statistics tell enough."""

    def read(self, index: Index = ()) -> Array:
        raise AssertionError("was gone through")


def test_only_what_comes_near_its_limit_is_gone_through_and_what_hides_is_none() -> None:
    far = np.array([30000, -32000], np.float16)
    trace = made(
        ("a", np.array([60000], np.float16)),
        ("b", np.array([3e38], np.float32)),
        ("net:mask", np.array([-65504, 0], np.float16)),
        ("net:masked", np.array([-65504, 0], np.float16)),
        ("c", np.array([-65504, 40000, 1, np.inf], np.float16)),
        ("d", far),
    )
    values = [*trace.values[:5], Unread(far)]
    trace = replace(trace, values=values)
    assert [(near.record.site, near.share) for near in near_limits(trace)] == [("c", 0.5), ("a", 1.0)]
    assert [near.record.site for near in near_limits(trace, 1)] == ["c"]


@pytest.mark.parametrize(("dtype", "size"), [("bfloat16", 2e38), ("float8_e4m3fn", 300), ("float8_e5m2", 30000)])
def test_every_narrow_dtype_has_its_limit(dtype: str, size: float) -> None:
    values = np.array([size, -size / 2, 0, 0], np.float32)
    trace = made(("a", values))
    narrow = replace(trace, records=[replace(trace.records[0], dtype=dtype)])
    assert [near.share for near in near_limits(narrow)] == [0.25]


def test_a_large_tensor_is_counted_in_pieces() -> None:
    values = np.zeros(3 * 2**20 + 5, np.float16)
    values[::7] = 40000
    trace = made(("a", values))
    assert near_limits(trace)[0].share == (np.abs(values) > 32752).mean()


def test_without_values_it_is_known_that_there_are_some() -> None:
    trace = made(("a", np.array([60000, 1], np.float16)), kept=False)
    assert near_limits(trace)[0].share is None
    assert "a: some of its values are within 2×" in next(near_limit_lines(trace))
    assert ask("near_limit", "a", trace).value == 0.5, "one of two at least"
    assert "1 of 1 records, within 2× of overflow" in "\n".join(describe(trace, 0))


def test_a_condition_asks_for_the_share() -> None:
    trace = made(("layers.0", np.array([60000, 1], np.float16)), ("layers.1", np.array([1, 2], np.float16)))
    assert [ask("near_limit", site, trace).value for site in ("layers.0", "layers.1")] == [0.5, 0]
    assert ask("near_limit > prev.near_limit", "layers.1", trace).value == 0
    assert ask("near_limit", "model.layers.0").value == 0, "float32 has room"


def test_what_a_module_was_given_tells_more_than_names() -> None:
    sound, bad = np.ones((1, 2, 4), np.float32), np.full((1, 2, 4), np.nan, np.float32)
    layer = "model.layers.0"
    sites = {f"{layer}:input": sound, f"{layer}.input_layernorm": bad, f"{layer}.self_attn.q_proj": bad}
    trace = trace_of(sites)
    norm, projection = trace.records[1:]
    assert [found.record for found in producers(trace, projection)] == [norm]
    # It took the stream as it came in, and nobody what the norm made.
    exact = replace(trace, records=(*trace.records[:2], replace(projection, inputs=(0,))))
    found = producers(exact, exact.records[2])
    assert [one.record.site for one in found] == [f"{layer}.self_attn.q_proj"]
    assert [fed.site for fed in found[0].fed_by] == [f"{layer}:input"]


def test_a_cache_hands_on_what_the_pass_before_made() -> None:
    sound, bad = np.ones((1, 1, 2, 4), np.float32), np.full((1, 1, 2, 4), np.nan, np.float32)
    attention = "model.layers.0.self_attn"
    trace = trace_of({f"{attention}.k_proj": sound, f"{attention}:k": bad, f"{attention}.k_proj@1": sound})
    first, keys, later = trace.records
    here = replace(later, site=f"{attention}.k_proj", pass_=1)
    kept = replace(here, index=3, site=f"{attention}:k")
    # k_proj was given something: the run tells what its modules were given.
    records = (first, replace(keys, parent=attention), replace(here, inputs=(0,), parent=attention))
    grown = replace(trace, records=(*records, replace(kept, parent=attention)), values=(*trace.values, trace.values[1]))
    assert [one.record for one in producers(grown, grown.records[3])] == [grown.records[1]]
