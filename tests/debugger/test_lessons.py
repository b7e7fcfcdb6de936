"""Every record has a lesson, with the numbers of its model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.ui.tiny_llama import empty_recorder, forward
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
