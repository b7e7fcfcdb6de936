from __future__ import annotations

import re

from tests.analysis.diff import plants
from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import Report, report
from tracetui.analysis.mapping.rules import Rule, Rules
from tracetui.recording.value import Array
from tracetui.views.diff.report import diff_lines, verdict

_LAYER = "model.layers.0"


def _projections() -> dict[str, Array]:
    return {f"{_LAYER}.self_attn.{name}_proj": normal(1, 3, 8, seed=seed) for seed, name in enumerate("qkv")}


def _heads(seed: int) -> dict[str, Array]:
    return {f"{_LAYER}.self_attn:{name}": normal(1, 2, 3, 4, seed=seed) for name in ("q", "k", "heads")}


def _out(seed: int) -> dict[str, Array]:
    return {f"{_LAYER}.self_attn.o_proj": normal(1, 3, 8, seed=seed)}


def _fed(found: Report) -> list[str]:
    assert found.feeds is not None
    return [fed.site.removeprefix(f"{_LAYER}.self_attn.") for fed in found.feeds.found]


def _told(found: Report) -> str:
    return " ".join(" ".join(diff_lines(found, ("a", "b"))).split())


def test_inputs_are_looked_for_through_what_only_one_side_recorded() -> None:
    found = report(
        trace_of({**_projections(), **_out(8)}, dump=True), trace_of({**_projections(), **_heads(5), **_out(9)})
    )
    assert _fed(found) == ["q_proj", "k_proj", "v_proj"]
    assert found.feeds is not None
    assert found.feeds.agree
    assert found.feeds.between == tuple(f"{_LAYER}.self_attn:{name}" for name in ("q", "k", "heads"))
    assert "in B only: layers.0.self_attn:q, .self_attn:k, .self_attn:heads. Record it in A too" in _told(found)
    assert verdict(found).endswith(f"in {_LAYER}.self_attn's own code or at o_proj.")


def test_a_fault_anywhere_in_the_layers_is_put_down_to_no_list_of_layers() -> None:
    reference = plants.traced(plants.llama())
    embedded = reference["model.embed_tokens"]
    port = trace_of({"model.embed_tokens": embedded, "logits": 2 * reference["logits"]}, dump=True)
    found = report(port, reference)
    told = _told(found)
    assert verdict(found).endswith("first at logits, made between embed_tokens and logits: within model or at logits.")
    assert "the fault is made here or on the way here, within model what lies between" in told
    assert re.search(r"before same 0 after off \S+ +[\d.]+ +logits", told), "logits stand behind the layers"


def test_attention_lies_between_the_projections_even_if_nobody_recorded_it() -> None:
    found = report(trace_of({**_projections(), **_out(8)}), trace_of({**_projections(), **_out(9)}))
    assert _fed(found) == ["q_proj", "k_proj", "v_proj"]
    assert "the fault is made here or on the way here" in _told(found)


def test_heads_are_laid_side_by_side_before_the_output_projection_gets_them() -> None:
    both = {**_projections(), **_heads(5)}
    found = report(trace_of({**both, **_out(8)}), trace_of({**both, **_out(9)}))
    assert found.feeds is not None
    assert not found.feeds.direct
    assert verdict(found).endswith(f"made between :heads and o_proj: in {_LAYER}.self_attn's own code or at o_proj.")


def test_a_fault_with_all_its_inputs_at_hand_is_there() -> None:
    both = {**_projections(), **_heads(5), f"{_LAYER}.self_attn.o_proj:input": normal(1, 3, 8, seed=7)}
    found = report(trace_of({**both, **_out(8)}), trace_of({**both, **_out(9)}))
    assert found.feeds is not None
    assert found.feeds.direct
    assert verdict(found).endswith("whose inputs agree: the fault is there.")


def test_the_first_norm_is_fed_by_the_embedding_where_one_side_has_no_layer_input() -> None:
    embedded = normal(1, 3, 8)
    a = trace_of({"model.embed_tokens": embedded, f"{_LAYER}.input_layernorm": normal(1, 3, 8, seed=1)}, dump=True)
    b = trace_of(
        {
            "model.embed_tokens": embedded,
            f"{_LAYER}:input": embedded,
            f"{_LAYER}.input_layernorm": normal(1, 3, 8, seed=2),
        }
    )
    found = report(a, b)
    assert found.feeds is not None
    assert [fed.site for fed in found.feeds.found] == ["model.embed_tokens"]
    assert not found.feeds.gap, "a layer's input is the embedding itself"


def test_a_hundred_layers_that_nobody_recorded_are_gone_through() -> None:
    arrays = {"model.embed_tokens": normal(1, 3, 8)}
    found = report(
        trace_of({**arrays, "model.layers.150": normal(1, 3, 8, seed=1)}),
        trace_of({**arrays, "model.layers.150": normal(1, 3, 8, seed=2)}),
    )
    assert found.feeds is not None
    assert [fed.site for fed in found.feeds.found] == ["model.embed_tokens"]


def test_names_of_ones_own_have_layers_and_inputs_once_they_are_paired() -> None:
    own = {f"block_0/attn/{name}": array for name, array in zip("qkv", _projections().values(), strict=True)}
    a = trace_of({**own, "block_0/attn/out": normal(1, 3, 8, seed=8)}, dump=True)
    b = trace_of({**_projections(), **_heads(5), **_out(9)})
    rules = Rules(tuple(_rule(name) for name in "qkvo"))
    for found in (report(a, b, rules), report(a, b, fuzzy=True)):
        assert found.first is not None
        assert found.first.site == f"{_LAYER}.self_attn.o_proj"
        assert "in A block_0/attn/out" in _told(found)
        assert _fed(found) == ["q_proj", "k_proj", "v_proj"]


def _rule(name: str) -> Rule:
    own = "out" if name == "o" else name
    return Rule(re.compile(rf"model\.layers\.0\.self_attn\.{name}_proj"), (f"block_0/attn/{own}",))
