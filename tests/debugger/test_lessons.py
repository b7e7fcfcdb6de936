"""Every record has a lesson, with the numbers of its model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.ui.tiny_llama import empty_recorder, forward
from tracetui.analysis.axes import _ROLE_AXES, RECURRENT_AXES
from tracetui.debugger.lessons import _tables, lesson, words_in
from tracetui.debugger.state import ScreenState

PANES = ("modules", "tensor", "attention", "experts", "logits", "log")


def state(site: str) -> ScreenState:
    recorder = empty_recorder()
    records = list(forward(recorder))
    at = next(record.index for record in records if record.site == site)
    return replace(ScreenState(), trace=recorder.trace, frontier=len(records), cursor=at)


@pytest.mark.parametrize(
    ("site", "formula", "shape"),
    [
        ("model.layers.0.self_attn:q", "q = x · W_q", "H=4 query heads"),
        ("model.layers.1.mlp", "down(act(gate(x))", "D=32 channels of the residual stream"),
        ("model.layers.1", "x + attention(norm(x))", "B=1 prompt, T=17 tokens"),
        ("model.layers.0.input_layernorm", "rms(x)", "D=32"),
        ("logits", "softmax(logits", "V=97 tokens of the vocabulary"),
    ],
)
def test_a_record_is_explained_with_the_models_numbers(site: str, formula: str, shape: str) -> None:
    lines = {line.label: line.text for line in lesson(state(site), "tensor")}
    assert formula in lines["formula"]
    assert shape in lines["shape"]
    assert lines["healthy"]
    assert lines["try"]
    assert "shared by several query heads" in lines["kv head"]
    assert "kv head 1 of 0–1 with 4 heads serves heads 2–3" in lines["kv head"]
    assert "rotary_emb#1" not in lines


def test_every_pane_has_its_words_and_before_a_run_there_is_no_record() -> None:
    for pane in PANES:
        assert "this pane" in {line.label for line in lesson(ScreenState(), pane)}
    assert {"margin", "Gini"} <= {line.label for line in lesson(ScreenState(), "experts")}
    assert all({"what", "formula", "healthy", "try"} <= set(one) for one in _tables()["roles"].values())


def test_words_are_explained_where_they_stand_and_only_there() -> None:
    assert [line.label for line in words_in("kv head 0 (heads 0–1) · softmax·V = heads", "attention")] == [
        "kv head",
        "softmax·V",
    ]
    assert [line.label for line in words_in("model.rotary_emb#1", "tensor")] == ["rotary_emb#1"]
    assert list(words_in("model.rotary_emb", "tensor")) == []


def test_heads_that_share_nothing_are_not_said_to_share() -> None:
    shown = state("model.layers.0.self_attn:k")
    run = replace(shown.trace.run, config={**shown.trace.run.config, "num_key_value_heads": 4})
    alone = replace(shown, trace=replace(shown.trace, run=run))
    assert "kv head" not in {line.label for line in lesson(alone, "attention")}


@pytest.mark.parametrize(("heads", "shares"), [(4, False), (2, True)])
def test_heads_are_counted_in_what_was_recorded_where_the_configuration_calls_them_otherwise(
    heads: int, shares: bool
) -> None:
    """GPT-2's n_head, with as many keys, is no grouped-query attention."""
    shown = state("model.layers.0.self_attn:k")
    records = [replace(one, shape=(1, heads, 17, 8)) if one.role == "k" else one for one in shown.trace.records]
    gpt2 = replace(shown.trace, records=records, run=replace(shown.trace.run, config={"n_head": 4}))
    assert ("kv head" in {line.label for line in lesson(replace(shown, trace=gpt2), "attention")}) is shares


@pytest.mark.parametrize("config", [{"rope_theta": 10000.0}, {"rope_parameters": {"rope_theta": 10000.0}}])
def test_what_turns_is_explained_by_the_base_of_its_frequencies(config: dict[str, object]) -> None:
    """What somebody who asks how RoPE works looks for first."""

    def told(site: str) -> bool:
        found = state(site)
        built = replace(found, trace=replace(found.trace, run=replace(found.trace.run, config=config)))
        base = "rope_theta = 10,000: Base of the rotary frequencies"
        return any(line.text.startswith(base) for line in lesson(built, "tensor"))

    assert told("model.layers.0.self_attn:q")
    assert told("model.layers.0.self_attn:k")
    assert not told("model.layers.0.self_attn:v")


def of(role: str, shape: tuple[int, ...], config: dict[str, object]) -> dict[str, list[str]]:
    """The lesson of such a record of layer 0's attention, by label."""
    found = state("model.layers.0.self_attn:q")
    record = replace(found.record, site=f"model.layers.0.self_attn:{role}", shape=shape)
    records = replace(found.trace, records=[record], attention={}, run=replace(found.trace.run, config=config))
    lines: dict[str, list[str]] = {}
    for line in lesson(replace(found, trace=records, cursor=0), "tensor"):
        lines.setdefault(line.label, []).append(line.text)
    return lines


MLA = {"model_type": "deepseek_v3", "kv_lora_rank": 512, "qk_head_dim": 192, "head_dim": 64, "v_head_dim": 128}


def test_what_a_module_computes_inside_is_not_taken_for_what_it_returns() -> None:
    for role in (*_ROLE_AXES, *RECURRENT_AXES, "lens_ids", "lens_probs", "before_edit"):
        assert role in _tables()["roles"], role
    returned = _tables()["modules"]["self_attn"]["what"]
    assert of("mask", (1, 1, 5, 5), {})["what"] != [returned]
    assert of("a_role_of_tomorrow", (1, 5), {})["what"] == [_tables()["modules"]["inside"]["what"]]


def test_latent_attention_makes_its_keys_and_values_from_the_latent() -> None:
    assert "kv_latent" in of("k", (1, 128, 5, 192), MLA)["formula"][0]
    assert "kv_latent" in of("v", (1, 128, 5, 128), MLA)["formula"][0]
    assert "x · W_k" in of("k", (1, 8, 5, 64), {"head_dim": 64})["formula"][0]


def test_only_a_field_that_decides_the_length_is_named_behind_it() -> None:
    """Latent attention's head_dim is what RoPE sees of a head, not how wide its queries are."""
    config = of("q", (1, 128, 5, 192), MLA)["config"]
    assert [line.partition(":")[0] for line in config] == ["qk_head_dim = 192"]


def test_a_recurrences_letters_are_its_own() -> None:
    lines = of("x", (1, 5, 8, 64), {"vocab_size": 64, "num_attention_heads": 8})
    assert "V=64 numbers of a head's value" in lines["shape"][0]
    assert "config" not in lines


def test_rope_is_tried_only_where_something_turns() -> None:
    assert "RoPE" in of("q", (1, 4, 5, 8), {"rope_theta": 10000.0})["try"][0]
    assert "RoPE" not in of("q", (1, 12, 5, 64), {"model_type": "gpt2"})["try"][0]
