"""What stands against what, and which tensor is the first that differs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.diff.made import normal, trace_of, without_values
from tracetui.analysis.diff.compare import compare
from tracetui.analysis.diff.feeds import feeds
from tracetui.analysis.diff.folding import folded
from tracetui.analysis.diff.preface import MISSING, config_differences
from tracetui.analysis.diff.report import Report, report
from tracetui.analysis.diff.result import Outcome
from tracetui.analysis.diff.rounding.tolerance import Limits
from tracetui.recording.statistics import of_array
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue, Index
from tracetui.views.diff.format import beside
from tracetui.views.diff.report import verdict

T, D = 6, 8


def layers(*indices: int) -> dict[str, Array]:
    found = {"model.embed_tokens": normal(1, T, D, seed=99)}
    for layer in indices:
        found[f"model.layers.{layer}:input"] = normal(1, T, D, seed=5 * layer)
        found[f"model.layers.{layer}.input_layernorm"] = normal(1, T, D, seed=5 * layer + 1)
        found[f"model.layers.{layer}.self_attn"] = normal(1, T, D, seed=5 * layer + 2)
        found[f"model.layers.{layer}"] = normal(1, T, D, seed=5 * layer + 3)
    return found


def changed(arrays: dict[str, Array], *sites: str) -> dict[str, Array]:
    return {site: array + (site in sites) for site, array in arrays.items()}


def test_a_trace_is_the_same_as_itself() -> None:
    found = compare(trace_of(layers(0, 1)), trace_of(layers(0, 1)))
    assert found.same
    assert found.compared == 9
    assert found.first is None


def test_the_first_that_differs_is_the_first_in_order_of_execution() -> None:
    arrays = layers(0, 1)
    other = changed(arrays, "model.layers.1", "model.layers.1.input_layernorm")
    found = compare(trace_of(arrays), trace_of(other))
    assert found.first is not None
    assert found.first.site == "model.layers.1.input_layernorm"
    assert [site.site for site in found.different] == ["model.layers.1.input_layernorm", "model.layers.1"]
    fed = feeds(found, found.first)
    assert [site.site for site in fed.found] == ["model.layers.1:input"]
    assert fed.agree


def test_a_fault_that_is_carried_on_is_not_made_there() -> None:
    arrays = layers(0)
    other = changed(arrays, "model.layers.0:input", "model.layers.0.input_layernorm")
    found = compare(trace_of(arrays), trace_of(other))
    fed = feeds(found, found.sites[2])
    assert [site.outcome for site in fed.found] == [Outcome.DIFFERENT]
    assert not fed.agree


def test_unknown_names_are_fed_by_what_ran_before_or_within() -> None:
    arrays = {name: normal(2, 3, seed=place) for place, name in enumerate(("enc.a", "enc.b", "enc"))}
    found = compare(trace_of(arrays), trace_of(changed(arrays, "enc")))
    assert [site.site for site in feeds(found, found.sites[1]).found] == ["enc.a"]
    assert [site.site for site in feeds(found, found.sites[2]).found] == ["enc.b"]
    assert feeds(found, found.sites[0]).missing


def test_sites_of_one_side_are_folded() -> None:
    found = compare(trace_of(layers(0, 1)), trace_of(layers(0, *range(2, 9))))
    assert found.preface.layers == ("0–1", "0, 2–8")
    assert folded(found.alignment.only_a, found.alignment.layers) == ["layers.1"]
    assert folded(found.alignment.only_b, found.alignment.layers) == ["layers.2–8"]
    assert found.same
    few = {site: array for site, array in layers(0, 1).items() if "self_attn" not in site}
    found = compare(trace_of(layers(0, 1)), trace_of(few))
    assert folded(found.alignment.only_a, found.alignment.layers) == ["layers.0–1.self_attn"]
    weights = {f"model.layers.{layer}.self_attn#1": normal(1, seed=layer) for layer in (0, 1)}
    found = compare(trace_of({**layers(0, 1), **weights}), trace_of(layers(0, 1)))
    assert folded(found.alignment.only_a, found.alignment.layers) == ["layers.0–1.self_attn#1"]


def test_nothing_in_common_is_not_the_same() -> None:
    found = compare(trace_of({"x": normal(2)}), trace_of({"y": normal(2)}))
    assert (found.compared, found.same) == (0, False)


def test_only_the_common_part_of_two_prompts_is_compared() -> None:
    long = {"model.embed_tokens": normal(1, T, D), "model.layers.0.self_attn:probs": normal(1, 2, T, T)}
    short = {
        "model.embed_tokens": normal(1, T, D)[:, :4],
        "model.layers.0.self_attn:probs": normal(1, 2, T, T)[:, :, :4, :4],
    }
    long["model.embed_tokens"][0, 4:] += 1
    a, b = trace_of(long, [[1, 2, 3, 4, 5, 6]]), trace_of(short, [[1, 2, 3, 4]])
    found = compare(a, b)
    assert [site.outcome for site in found.sites] == [Outcome.SAME, Outcome.SAME]
    (difference,) = found.preface.tokens
    assert (difference.position, difference.b, difference.lengths) == (4, None, (6, 4))
    assert difference.a is not None
    assert difference.a.id == 5
    assert not found.same
    short["model.embed_tokens"] = short["model.embed_tokens"].copy()
    short["model.embed_tokens"][0, 3] += 1
    found = compare(a, trace_of(short, [[1, 2, 3, 4]]))
    assert found.first is not None
    assert found.first.distance is not None
    assert found.first.distance.worst is not None
    assert found.first.distance.worst[1] == 3


def test_padding_is_not_compared() -> None:
    a = {"model.embed_tokens": normal(2, T, D)}
    b = {"model.embed_tokens": a["model.embed_tokens"].copy()}
    b["model.embed_tokens"][1, 4:] = 7
    tokens = [range(T), range(4)]
    assert compare(trace_of(a, tokens), trace_of(b, tokens)).same
    b["model.embed_tokens"][1, 3] = 7
    assert not compare(trace_of(a, tokens), trace_of(b, tokens)).same


def test_configurations_differ_by_field() -> None:
    a, b = {"rope_theta": 1e4, "sliding_window": None, "use_cache": True}, {"rope_theta": 5e5, "use_cache": False}
    found = compare(trace_of(layers(0), config=a), trace_of(layers(0), config={**b, "model_type": "x"}))
    fields = [(field.name, field.a, field.b) for field in found.preface.config]
    assert fields == [("rope_theta", 1e4, 5e5), ("model_type", MISSING, "x")], "what both sides have stands first"
    assert found.same


def test_what_a_modules_configuration_has_by_default_is_no_difference() -> None:
    module = {"output_attentions": False, "chunk_size_feed_forward": 0, "id2label": {"0": "LABEL_0"}, "hidden_size": 8}
    assert not config_differences(module, {"hidden_size": 8})
    (asked,) = config_differences({**module, "output_attentions": True}, {"hidden_size": 8})
    assert asked.name == "output_attentions", "Falcon's attention is another where it is asked for"


def test_values_that_were_not_kept_are_compared_by_statistics() -> None:
    a, b = layers(0), changed(layers(0), "model.layers.0.self_attn")
    found = compare(trace_of(a), without_values(trace_of(b)))
    assert [site.site for site in found.different] == ["model.layers.0.self_attn"]
    assert found.first is not None
    assert found.first.distance is not None
    assert found.first.distance.by_statistics


def test_shapes_that_don_t_go_together_are_said() -> None:
    found = compare(trace_of({"x": normal(2, 3)}), trace_of({"x": normal(2, 4)}))
    assert [site.site for site in found.misfits] == ["x"]
    assert not found.same


def test_a_tensor_of_bf16_may_be_as_far_off_as_bf16() -> None:
    a = layers(0)
    b = {site: array * np.float32(1.004) for site, array in a.items()}
    coarse = dict.fromkeys(a, "bfloat16")
    assert compare(trace_of(a, dtypes=coarse), trace_of(b)).same
    assert not compare(trace_of(a), trace_of(b)).same
    assert compare(trace_of(a), trace_of(b), limits=Limits(rtol=0.01)).same
    assert compare(trace_of(a, dtypes=coarse), trace_of(b)).preface.dtypes == (("bfloat16", "float32", 5),)


class Watched(ArrayValue):
    """Remembers the largest part that was read at once."""

    largest = 0

    def read(self, index: Index = ()) -> Array:
        found = super().read(index)
        Watched.largest = max(Watched.largest, found.size)
        return found


def test_large_tensors_are_read_in_blocks() -> None:
    Watched.largest = 0
    array = np.zeros((1, 2048, 1024), dtype=np.float32)
    sides = []
    for _ in "ab":
        trace = trace_of({"model.layers.0": array[:, :1]})
        record = replace(trace.records[0], shape=array.shape)
        sides.append(replace(trace, records=(record,), values=(Watched(array),)))
    sides[1].values[0].statistics()
    assert compare(sides[0], sides[1]).same
    assert 0 < Watched.largest <= 2**19 < array.size


def test_statistics_that_a_file_gets_wrong_don_t_widen_the_tolerance() -> None:
    a, b = trace_of({"x": normal(4, 4)}), trace_of({"x": normal(4, 4) + np.float32(0.1)})
    for l2 in (1e30, float("inf"), float("nan"), -1.0):
        wrong = replace(of_array(b["x"]), l2=l2)
        lying = ArrayValue(b["x"])
        lying._statistics = wrong
        found = compare(a, replace(b, values=(lying,)))
        assert [site.site for site in found.different] == ["x"], l2


def test_what_was_generated_after_different_prompts_is_not_compared() -> None:
    def generated(last: int) -> Trace:
        trace = trace_of({"x": normal(1, 3, 4), "y": normal(1, 1, 4, seed=last)}, [[1, 2, last]])
        return replace(trace, records=(trace.records[0], replace(trace.records[1], site="x", pass_=1)))

    found = compare(generated(3), generated(4))
    assert [site.outcome for site in found.sites] == [Outcome.SAME, Outcome.SKIPPED]
    assert [site.outcome for site in compare(generated(3), generated(3)).sites] == [Outcome.SAME] * 2


def test_passes_before_the_generated_tokens_part_are_compared() -> None:
    def generated(*chosen: int, fault: float = 0) -> Trace:
        arrays = {f"x{pass_}": normal(1, 1 if pass_ else 3, 4) for pass_ in range(4)}
        arrays["x2"] += np.float32(fault)
        trace = trace_of(arrays, [[1, 2, 3, *chosen]])
        records = tuple(replace(record, site="x", pass_=record.index) for record in trace.records)
        return replace(trace, records=records, generated=(len(chosen),))

    found = compare(generated(4, 5, 6, fault=1), generated(4, 5, 7))
    assert [site.outcome for site in found.sites[:3]] == [Outcome.SAME, Outcome.SAME, Outcome.DIFFERENT]
    outcomes = [site.outcome for site in compare(generated(4, 6, 7), generated(4, 5, 7)).sites]
    assert outcomes == [Outcome.SAME, Outcome.SAME, Outcome.SKIPPED, Outcome.SKIPPED]


def test_a_few_elements_of_a_bell_are_rounding_and_one_far_off_is_not() -> None:
    exact = normal(1, 200, 500)
    rounded = exact + np.float32(0.009) * normal(1, 200, 500, seed=1)
    found = compare(trace_of({"x": rounded}, dtypes={"x": "bfloat16"}), trace_of({"x": exact}))
    assert found.same
    assert found.sites[0].distance is not None
    assert found.sites[0].distance.off > 0
    assert not compare(trace_of({"x": rounded}), trace_of({"x": exact}), limits=Limits(1.6e-2, 1.6e-2)).same
    rounded[0, 100, 7] += 1
    found = compare(trace_of({"x": rounded}, dtypes={"x": "bfloat16"}), trace_of({"x": exact}))
    assert not found.same
    assert found.sites[0].distance is not None
    assert (found.sites[0].distance.far, found.sites[0].distance.worst) == (1, (0, 100, 7))


@pytest.mark.parametrize(("factor", "same"), [(1 + 1e-13, True), (1 + 1e-6, False)])
def test_numbers_whose_squares_no_float_holds_are_told_one_by_one(factor: float, same: bool) -> None:
    b = normal(4, 5).astype(np.float64) * 1e200
    assert compare(trace_of({"x": b * factor}), trace_of({"x": b})).same is same


def test_rounding_that_adds_up_is_blamed_on_nobody() -> None:
    site = "model.layers.0"
    a = {name: normal(1, 50, 40, seed=place) for place, name in enumerate((f"{site}:input", f"{site}.input_layernorm"))}

    def noisy(*sizes: float) -> Report:
        noise = normal(1, 50, 40, seed=9)
        b = {name: array + np.float32(size) * noise for (name, array), size in zip(a.items(), sizes, strict=True)}
        return report(trace_of(b), trace_of(a))

    carried, made = noisy(3e-5, 5e-5), noisy(1e-6, 5e-5)
    assert carried.comparison.same
    assert [found.site for found in carried.comparison.sites if found.explained] == [f"{site}.input_layernorm"]
    assert made.first is not None
    assert made.first.site == f"{site}.input_layernorm"
    assert (made.carried, made.at_fault) == (False, True)


def test_what_comes_after_a_layer_that_one_side_lacks_is_not_compared() -> None:
    def run(*indices: int) -> dict[str, Array]:
        return {**layers(*indices), "model.norm": normal(1, T, D, seed=len(indices)), "lm_head": normal(1, T, D)}

    found = compare(trace_of(run(0, 1, 2)), trace_of(run(0, 2)))
    skipped = {site.site for site in found.sites if site.outcome is Outcome.SKIPPED}
    assert {"model.layers.2", "model.norm", "lm_head"} <= skipped
    assert not any(site.startswith("model.layers.0") for site in skipped)
    assert found.same
    assert not compare(trace_of(run(0, 1, 2)), trace_of(run(0, 2), dump=True)).same


def test_later_passes_and_calls_stand_against_their_like() -> None:
    def passes(arrays: dict[str, Array]) -> Trace:
        trace = trace_of(arrays)
        return replace(trace, records=tuple(replace(record, site="x", pass_=record.index) for record in trace.records))

    a, b = {"x0": normal(2), "x1": normal(2, seed=1)}, {"x0": normal(2), "x1": normal(2, seed=2)}
    found = compare(passes(a), passes(b))
    assert [site.site for site in found.different] == ["x@1"]


@pytest.mark.parametrize("dump", [True, False])
def test_the_order_of_execution_is_the_recorded_one_or_the_known_one(dump: bool) -> None:
    arrays = layers(0, 1)
    scrambled = dict(sorted(arrays.items(), reverse=True))
    found = compare(trace_of(scrambled, dump=True), trace_of(arrays, dump=dump))
    assert [site.site for site in found.sites] == list(arrays)


def test_what_is_computed_from_coarse_tensors_is_no_finer_for_its_own_dtype() -> None:
    router = normal(4, 6, seed=1)
    coarse = {"model.layers.0.mlp.gate": "bfloat16"}
    exact = normal(4, 6, seed=2)

    def found(gate: Array) -> Outcome:
        a = trace_of({"model.layers.0.mlp.gate": gate, "model.layers.0.mlp:router_scores": router}, dtypes=coarse)
        b = trace_of({"model.layers.0.mlp.gate": exact, "model.layers.0.mlp:router_scores": router * 1.001})
        return compare(a, b).sites[1].outcome

    assert found(exact * np.float32(1.001)) is Outcome.SAME, "both are bfloat16's rounding"
    assert found(exact) is Outcome.DIFFERENT, "its input is the same bit for bit: this is float32's own"


def test_an_element_beside_zeros_alone_is_infinitely_far_off_relative_to_them() -> None:
    found = compare(trace_of({"x": np.ones(3, np.float32)}), trace_of({"x": np.zeros(3, np.float32)})).sites[0]
    assert found.distance is not None
    assert found.distance.max_rel == math.inf


def test_little_in_common_is_no_plain_same() -> None:
    logits = {"logits": normal(1, 3, 8)}
    a = trace_of({**{f"mine/{name}": normal(7) for name in "abc"}, **logits}, dump=True)
    b = trace_of({**{f"model.layers.{layer}.mlp": normal(1, 3, 9) for layer in range(4)}, **logits})
    found = report(a, b)
    assert found.comparison.same
    assert verdict(found).startswith("Same where they could be compared: 1 of 8 sites compared")
    assert "--map" in verdict(found)


def test_two_numbers_are_told_apart_however_near_they_are() -> None:
    assert beside(0.17834, 0.1781) == ("0.1783", "0.1781")
    assert beside(1.0, 2.0) == ("1", "2")
    assert beside(0.5, 0.5) == ("0.5", "0.5")
