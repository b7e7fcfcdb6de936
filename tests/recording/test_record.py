"""Keys, layers and places of records."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from tests.recording.llama import llama
from tracetui.recording.record import Record, is_layer, layer_of, record_of


def record(site: str, pass_: int = 0, call: int = 0, part: int = 0) -> Record:
    return Record(0, site, (2, 3), "float32", 0, pass_=pass_, call=call, part=part)


@pytest.mark.parametrize(
    ("made", "key"),
    [
        (record("model.norm"), "model.norm"),
        (record("model.norm", pass_=2), "model.norm@2"),
        (record("model.norm", call=1), "model.norm@0.1"),
        (record("model.norm", pass_=2, call=1), "model.norm@2.1"),
        (record("model.rotary_emb", part=1), "model.rotary_emb#1"),
        (record("model.rotary_emb", part=1, pass_=3, call=4), "model.rotary_emb#1@3.4"),
        (record("a.self_attn:q", pass_=1), "a.self_attn:q@1"),
    ],
)
def test_keys_name_pass_call_and_part_where_they_are_not_the_first(made: Record, key: str) -> None:
    assert made.key == key


def test_keys_of_a_run_differ() -> None:
    records = llama(passes=3)
    assert len({made.key for made in records}) == len(records)


@pytest.mark.parametrize(
    ("site", "layer", "place"),
    [
        ("model.layers.3.self_attn.q_proj", 3, ".self_attn.q_proj"),
        ("model.layers.12", 12, ""),
        ("model.layers.12:input", 12, ":input"),
        ("transformer.h.0.mlp", 0, ".mlp"),
        ("layers.7.attn", 7, ".attn"),
        ("model.layers.3.mlp.experts.17", 3, ".mlp.experts.17"),
        ("model.norm", None, "model.norm"),
        ("model.mylayers.3.x", None, "model.mylayers.3.x"),
        ("model.layers.x", None, "model.layers.x"),
        ("logits", None, "logits"),
    ],
)
def test_a_site_knows_its_layer_and_its_place_in_it(site: str, layer: int | None, place: str) -> None:
    assert (record(site).layer, record(site).site_in_layer) == (layer, place)
    assert layer_of(site) == layer
    assert is_layer(site) == (layer is not None and place == "")


def test_a_role_is_apart_from_its_module() -> None:
    made = record("model.layers.0.self_attn:q")
    assert (made.module, made.role) == ("model.layers.0.self_attn", "q")
    assert (record("model.norm").module, record("model.norm").role) == ("model.norm", "")


@pytest.mark.parametrize(("shape", "numel"), [((), 1), ((0, 5), 0), ((2, 3, 4), 24)])
def test_numel_is_the_product_of_the_shape(shape: tuple[int, ...], numel: int) -> None:
    assert Record(0, "x", shape, "float32", 0).numel == numel


def test_records_that_are_made_in_numbers_are_like_any_other() -> None:
    fields = (3, "layers.0:q", (1, 2), "float32", 2, "layers.0", 1, 4, 5, 0.5, "file", True, (1, -2))
    made, record = record_of(*fields), Record(*fields)
    assert type(made) is Record
    assert (made, hash(made), repr(made), made.key) == (record, hash(record), repr(record), record.key)
    assert replace(made, site="x") == replace(record, site="x")
    assert pickle.loads(pickle.dumps(made)) == record
    with pytest.raises(FrozenInstanceError):
        made.site = "x"  # type: ignore[misc]
