"""A record by a part of its name."""

from __future__ import annotations

import difflib

import pytest

from tests.analysis.diff.made import normal, trace_of
from tracetui.recording.lookup import named, nearest, unknown

SITES = ("model.layers.0", "model.layers.0.mlp", "model.layers.1.mlp", "model.layers.0.self_attn:q", "mlp")
TRACE = trace_of({site: normal(2) for site in SITES})


def found(said: str) -> str | None:
    record = named(TRACE, said)
    return record.key if record else None


def test_an_end_from_a_dot_on_is_enough_where_it_is_the_only_one() -> None:
    assert found("layers.1.mlp") == "model.layers.1.mlp"
    assert found("self_attn:q") == "model.layers.0.self_attn:q"
    assert found("mlp") == "mlp", "the very name"
    assert found("0.mlp") == "model.layers.0.mlp"
    assert [found(said) for said in ("attn:q", "nothing", "", ".mlp")] == [None] * 4


def test_of_several_ends_none_is_chosen() -> None:
    twice = trace_of({site: normal(2) for site in SITES[:3]})
    assert named(twice, "mlp") is None
    assert "near are" in unknown(twice, "layers.0.mpl")
    assert "`tracetui info` lists sites" in unknown(twice, "zzz")


def many_keys() -> list[str]:
    places = ("self_attn.q_proj", "self_attn:q", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm")
    return [
        f"model.layers.{layer}.{place}@{pass_}" for pass_ in range(1, 60) for layer in range(60) for place in places
    ]


def test_of_many_keys_the_nearest_one_is_advised() -> None:
    assert nearest("model.layers.37.mlp.up_prj@41", many_keys())[0] == "model.layers.37.mlp.up_proj@41"
    assert nearest("model.layers.63.mlp.up_proj@41", many_keys())[0] == "model.layers.59.mlp.up_proj@41"
    assert nearest("model.layer.3.self_atn:q@2", many_keys())[0] == "model.layers.3.self_attn:q@2"
    assert nearest("zzz", many_keys()) == []


def test_a_name_is_held_against_few_of_many_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    ratios: list[str] = []
    quick = difflib.SequenceMatcher.real_quick_ratio

    def counted(matcher: difflib.SequenceMatcher[str]) -> float:
        ratios.append("")
        return quick(matcher)

    monkeypatch.setattr(difflib.SequenceMatcher, "real_quick_ratio", counted)
    nearest("model.layers.7.mlp.up_prj", many_keys())
    assert len(ratios) < 40
    ratios.clear()
    nearest("some.name", (f"{'ab' * (index % 90)}.{'cd' * (index // 90)}" for index in range(9000)))
    assert len(ratios) < 1100
