"""A record by a part of its name."""

from __future__ import annotations

from tests.analysis.diff.made import normal, trace_of
from tracetui.recording.lookup import named, unknown

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
