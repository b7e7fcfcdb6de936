"""Where each step leads on the records of a two-layer llama."""

from __future__ import annotations

import pytest

from tests.recording.llama import llama
from tracetui.recording.record import Record
from tracetui.recording.stepping import Step, ahead, back, encloses, layer_back, target

RECORDS = llama()
TWICE = llama(passes=2)
LAYER0, LAYER1 = "model.layers.0", "model.layers.1"


def place(key: str, records: list[Record] = RECORDS) -> int:
    return next(record.index for record in records if record.key == key)


def led(step: Step, key: str, records: list[Record] = RECORDS) -> str | None:
    found = ahead(records, place(key, records), step)
    return None if found is None else records[found].key


@pytest.mark.parametrize(
    ("origin", "end"),
    [
        ("model.embed_tokens", "model.rotary_emb"),
        ("model.rotary_emb", "model.rotary_emb#1"),
        ("model.rotary_emb#1", LAYER0),
        (f"{LAYER0}:input", f"{LAYER0}.input_layernorm"),
        (f"{LAYER0}.input_layernorm", f"{LAYER0}.self_attn"),
        (f"{LAYER0}.self_attn.q_proj", f"{LAYER0}.self_attn.k_proj"),
        (f"{LAYER0}.self_attn.v_proj", f"{LAYER0}.self_attn:q"),
        (f"{LAYER0}.self_attn.o_proj", f"{LAYER0}.self_attn"),
        (f"{LAYER0}.mlp", LAYER0),
        (LAYER0, LAYER1),
        (LAYER1, "model.norm"),
        ("model.norm", "model"),
        ("model", "lm_head"),
        ("lm_head", "logits"),
        ("logits", None),
    ],
)
def test_over_ends_at_the_same_depth_or_above(origin: str, end: str | None) -> None:
    assert led(Step.OVER, origin) == end


@pytest.mark.parametrize(
    ("origin", "end"),
    [
        ("model.embed_tokens", "model"),
        (f"{LAYER0}:input", LAYER0),
        (f"{LAYER0}.self_attn.q_proj", f"{LAYER0}.self_attn"),
        (f"{LAYER0}.self_attn:q", f"{LAYER0}.self_attn"),
        (f"{LAYER0}.self_attn", LAYER0),
        (f"{LAYER0}:attn_residual", LAYER0),
        (f"{LAYER1}.mlp.act_fn", f"{LAYER1}.mlp"),
        (LAYER0, "model"),
        ("model.norm", "model"),
        ("model", "logits"),
        ("lm_head", "logits"),
        ("logits", None),
    ],
)
def test_out_ends_at_the_output_of_the_module_around(origin: str, end: str | None) -> None:
    assert led(Step.OUT, origin) == end


@pytest.mark.parametrize(
    ("origin", "end"),
    [
        ("model.embed_tokens", LAYER0),
        ("model.rotary_emb#1", LAYER0),
        (f"{LAYER0}:input", f"{LAYER1}:input"),
        (f"{LAYER0}.self_attn:q", f"{LAYER1}.self_attn:q"),
        (LAYER0, LAYER1),
        (f"{LAYER1}.mlp.act_fn", "model.norm"),
        (LAYER1, "model.norm"),
        ("model.norm", None),
    ],
)
def test_a_step_by_layer_keeps_its_place(origin: str, end: str | None) -> None:
    assert led(Step.LAYER, origin) == end


def test_from_the_end_of_a_pass_a_step_by_layer_finds_the_next_passes_first_layer() -> None:
    for origin in ("model.norm", "model", "lm_head", "logits"):
        assert led(Step.LAYER, origin, TWICE) == f"{LAYER0}@1"


def test_a_place_that_later_layers_lack_ends_behind_the_layers() -> None:
    records = [record for record in RECORDS if record.site != f"{LAYER1}.mlp.act_fn"]
    found = ahead(records, place(f"{LAYER0}.mlp.act_fn"), Step.LAYER)
    assert found is not None
    assert records[found].site == "model.norm"


def test_a_module_that_the_layers_share_does_not_end_a_step_by_layer() -> None:
    shared = [Record(0, "model.rotary_emb", (4,), "float32", 4, f"{layer}.self_attn") for layer in (LAYER0, LAYER1)]
    queries = [
        Record(0, f"{layer}.self_attn:q", (4,), "float32", 4, f"{layer}.self_attn") for layer in (LAYER0, LAYER1)
    ]
    records = [shared[0], queries[0], shared[1], queries[1]]
    assert ahead(records, 1, Step.LAYER) == 3
    assert layer_back(records, 3) == 1


def test_into_is_the_very_next_record_and_end_is_none() -> None:
    for index in range(len(TWICE) - 1):
        assert ahead(TWICE, index, Step.INTO) == index + 1
        assert ahead(TWICE, index, Step.END) is None
    assert ahead(TWICE, len(TWICE) - 1, Step.INTO) is None


def test_before_the_first_record_every_step_but_the_end_leads_to_it() -> None:
    for step in Step:
        assert ahead(RECORDS, -1, step) == (None if step is Step.END else 0)
        assert ahead([], -1, step) is None


def test_a_step_that_is_not_recorded_yet_has_no_end() -> None:
    cut = RECORDS[: place(f"{LAYER0}.self_attn.o_proj") + 1]
    assert ahead(cut, len(cut) - 1, Step.OUT) is None
    assert ahead(cut, place(f"{LAYER0}.self_attn.q_proj"), Step.OVER) is not None


@pytest.mark.parametrize("step", [Step.INTO, Step.OVER, Step.OUT, Step.LAYER])
def test_what_is_recorded_and_what_comes_follow_one_rule(step: Step) -> None:
    """The frontier asks of each new record what `ahead` asks of the old ones."""
    for origin in TWICE:
        reached = target(step, origin)
        live = next((record.index for record in TWICE[origin.index + 1 :] if reached(record)), None)
        assert ahead(TWICE, origin.index, step) == live


def test_over_never_leads_deeper_and_out_always_leads_up() -> None:
    for origin in TWICE:
        over, out = (ahead(TWICE, origin.index, step) for step in (Step.OVER, Step.OUT))
        assert over is None or TWICE[over].depth <= origin.depth
        assert out is None or (TWICE[out].depth < origin.depth and encloses(TWICE[out], origin))


@pytest.mark.parametrize(
    ("origin", "end"),
    [
        ("logits", "lm_head"),
        ("lm_head", "model"),
        ("model", "model.norm"),
        ("model.norm", LAYER1),
        (LAYER1, LAYER0),
        (LAYER0, "model.rotary_emb#1"),
        (f"{LAYER0}.mlp", f"{LAYER0}.post_attention_layernorm"),
        (f"{LAYER0}.self_attn.k_proj", f"{LAYER0}.self_attn.q_proj"),
        (f"{LAYER0}.self_attn.q_proj", f"{LAYER0}.input_layernorm"),
        (f"{LAYER0}:input", "model.rotary_emb#1"),
        ("model.embed_tokens", "model.embed_tokens"),
    ],
)
def test_back_mirrors_over(origin: str, end: str) -> None:
    assert RECORDS[back(RECORDS, place(origin))].key == end


def test_back_from_before_the_first_record_stays_there() -> None:
    assert back(RECORDS, -1) == -1
    assert layer_back(RECORDS, -1) == -1


def test_back_undoes_over_between_records_of_one_depth() -> None:
    for origin in RECORDS:
        end = ahead(RECORDS, origin.index, Step.OVER)
        if end is not None and RECORDS[end].depth == origin.depth:
            assert back(RECORDS, end) == origin.index


@pytest.mark.parametrize(
    ("origin", "end"),
    [
        (f"{LAYER1}.self_attn:q", f"{LAYER0}.self_attn:q"),
        (LAYER1, LAYER0),
        (LAYER0, "model.rotary_emb#1"),
        ("model.norm", LAYER1),
        ("logits", LAYER1),
        ("model.rotary_emb#1", "model.embed_tokens"),
        ("model.embed_tokens", "model.embed_tokens"),
    ],
)
def test_a_step_back_by_layer_keeps_its_place(origin: str, end: str) -> None:
    assert RECORDS[layer_back(RECORDS, place(origin))].key == end


def test_a_module_encloses_what_it_runs_and_nothing_else() -> None:
    records = {record.key: record for record in RECORDS}
    attention = records[f"{LAYER0}.self_attn"]
    inside = [record.key for record in RECORDS if encloses(attention, record)]
    assert inside == [
        f"{LAYER0}.self_attn{end}" for end in (".q_proj", ".k_proj", ".v_proj", ":q", ":k", ":v", ".o_proj")
    ]
    assert not encloses(records[f"{LAYER0}:attn_residual"], records[f"{LAYER0}.self_attn.q_proj"])
    assert sum(encloses(records["logits"], record) for record in RECORDS) == len(RECORDS) - 1


def test_names_that_begin_alike_do_not_enclose() -> None:
    first = Record(0, "model.layers.1", (1,), "float32", 2, "model")
    tenth = Record(1, "model.layers.10.mlp", (1,), "float32", 3, "model.layers.10")
    assert not encloses(first, tenth)
