"""The same tokens in other passes, rows and positions stand beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, StaticCache

from tests.analysis.diff.made import normal, trace_of
from tests.tracer.recipes import recipe
from tracetui.analysis.diff.alignment.passes import told_of_passes
from tracetui.analysis.diff.alignment.placement import Placement
from tracetui.analysis.diff.report import Report, report
from tracetui.recipe import Generation, Prompts
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue
from tracetui.tracer.call import record_call
from tracetui.tracer.run import trace_recipe
from tracetui.views.diff.report import diff_lines, verdict

PROMPT = (5, 8, 299, 3, 7)
IDS = torch.tensor([[0, 0, 0, 5, 9, 11, 40], [3, 17, 42, 5, 99, 8, 64]])
MASK = (torch.arange(7) >= torch.tensor([[3], [0]])).long()
POSITIONS = (MASK.cumsum(-1) - 1).clamp(min=0)


@pytest.mark.parametrize(("passes", "words"), [(1, "pass 0 of B stands"), (3, "passes 0 to 2 of B stand")])
def test_passes_beside_one_pass_are_told_by_their_number(passes: int, words: str) -> None:
    whole, generated = (Placement((0,), (0,), 1, 4, count) for count in (1, 3))
    (line,) = told_of_passes((whole, generated), (4,), passes)
    assert line.startswith(f"{words} beside positions 0 to {2 + passes} of A")


@pytest.fixture(scope="module", params=[{}, {"model_type": "mistral", "sliding_window": 4}], ids=["llama", "window"])
def runs(request: pytest.FixtureRequest) -> tuple[Trace, Trace]:
    """A run that generated four tokens, and one pass over all that it saw."""
    generated = trace_recipe(
        recipe(generation=Generation(4, stop=()), prompts=Prompts(ids=(PROMPT,)), config=request.param)
    )
    seen = tuple(token.id for token in generated.tokens[0][:-1])
    return generated, trace_recipe(recipe(prompts=Prompts(ids=(seen,)), config=request.param))


def _with(trace: Trace, key: str, change: Callable[[Array], Array]) -> Trace:
    record = trace.find(key)
    assert record is not None
    values = list(trace.values)
    values[record.index] = ArrayValue(change(values[record.index].read()))
    return replace(trace, values=tuple(values))


def _told(found: Report) -> str:
    return " ".join(" ".join(diff_lines(found, ("a", "b"))).split())


def test_generated_passes_are_rows_of_the_pass_over_all(runs: tuple[Trace, Trace]) -> None:
    generated, full = runs
    for found in (report(generated, full), report(full, generated)):
        assert verdict(found).startswith("Same: ")
        late = [site for site in found.comparison.sites if site.pair.record.pass_ == 3 and site.distance is not None]
        assert {site.pair.record.site_in_layer for site in late} >= {
            ":input",
            ".self_attn:k",
            ".self_attn:heads",
            ".mlp",
            "",
        }
        assert found.positions
        assert "padding" not in _told(found), "the last token went through no pass, and is no padding"


def test_a_fault_in_the_cache_is_told_with_its_pass_and_layer(runs: tuple[Trace, Trace]) -> None:
    generated, full = runs

    def forgotten(keys: Array) -> Array:
        return np.concatenate([np.zeros_like(keys[:, :, :1]), keys[:, :, 1:]], axis=2)  # [B,G,S,K]

    found = report(_with(generated, "model.layers.1.self_attn:k@2", forgotten), full)
    assert found.first is not None
    assert found.first.site == "model.layers.1.self_attn:k@2"
    assert len(found.comparison.different) == 1


def test_a_fault_in_one_layer_of_one_pass_is_told_there(runs: tuple[Trace, Trace]) -> None:
    generated, full = runs
    found = report(_with(generated, "model.layers.2.mlp.up_proj@3", lambda values: values * 1.5), full)
    assert found.first is not None
    assert found.first.site == "model.layers.2.mlp.up_proj@3"
    # Whichever side is named first, and whatever the row's index in its own pass.
    assert "] at token 7 “" in _told(found)
    assert "] at token 7 “" in _told(report(full, _with(generated, "model.layers.2.mlp.up_proj@3", np.zeros_like)))


def test_passes_after_another_token_was_chosen_are_not_compared(runs: tuple[Trace, Trace]) -> None:
    generated, full = runs
    row = list(full.tokens[0])
    row[len(PROMPT) + 1] = replace(row[len(PROMPT) + 1], id=1)
    found = report(generated, replace(full, tokens=(tuple(row),)))
    compared = {site.pair.record.pass_ for site in found.comparison.sites if site.distance is not None}
    assert compared == {0, 1}
    assert not found.comparison.same


def test_nothing_of_the_prompt_s_pass_is_left_out_where_the_next_token_is_another() -> None:
    generated = trace_recipe(recipe(generation=Generation(2, stop=()), prompts=Prompts(ids=(PROMPT,))))
    other = 1 + generated.tokens[0][len(PROMPT)].id % 200
    full = trace_recipe(recipe(prompts=Prompts(ids=((*PROMPT, other, 9, 11),))))
    for found in (report(generated, full), report(full, generated)):
        assert verdict(found).startswith("Different in the prompts"), verdict(found)
        assert found.comparison.compared == len(found.comparison.sites)
        assert found.predicted, "the next token after what they have in common"
    found = report(_with(full, "lm_head", lambda logits: logits * 1.5), generated)
    assert found.first is not None
    assert found.first.site == "lm_head"


def test_later_passes_of_other_tokens_are_left_out_by_name() -> None:
    one, other = (
        trace_recipe(recipe(generation=Generation(3, stop=()), prompts=Prompts(ids=((*PROMPT, last),))))
        for last in (3, 9)
    )
    found = report(one, other)
    ((reason, left_out),) = found.comparison.skipped.items()
    assert reason == "the pass saw other tokens"
    told = _told(found)
    assert f"left out {len(left_out):,} sites (the pass saw other tokens): layers.0–2:input, " in told
    assert "more places: --all names them" in told
    everything = " ".join(" ".join(diff_lines(found, ("a", "b"), whole=True)).split())
    assert "--all" not in everything
    assert all(site.pair.record.site_in_layer in everything for site in left_out if site.pair.record.layer is not None)


@pytest.fixture(scope="module")
def gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=128, n_positions=16, bos_token_id=0, eos_token_id=1)
    model: GPT2LMHeadModel = GPT2LMHeadModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_a_row_with_padding_at_its_left_is_the_row_alone(gpt2: GPT2LMHeadModel) -> None:
    alone = record_call(gpt2, input_ids=IDS[:1, 3:])
    batch = record_call(gpt2, input_ids=IDS, attention_mask=MASK, position_ids=POSITIONS)
    for found in (report(batch, alone), report(alone, batch)):
        assert found.comparison.same
        assert found.comparison.compared > 20
        assert "without the padding at the left" in _told(found)


def test_positions_that_count_the_padding_are_told_at_their_table(gpt2: GPT2LMHeadModel) -> None:
    alone = record_call(gpt2, input_ids=IDS[:1, 3:])
    found = report(record_call(gpt2, input_ids=IDS, attention_mask=MASK), alone)
    assert found.first is not None
    assert found.first.site == "transformer.wpe"


def test_a_row_with_padding_at_its_right_is_the_row_alone(gpt2: GPT2LMHeadModel) -> None:
    ids, mask = IDS.clone(), MASK.flip(1)
    ids[0] = torch.tensor([5, 9, 11, 40, 0, 0, 0])
    mask = (torch.arange(7) < torch.tensor([[4], [7]])).long()
    found = report(record_call(gpt2, input_ids=ids, attention_mask=mask), record_call(gpt2, input_ids=IDS[:1, 3:]))
    assert found.comparison.same
    assert found.comparison.compared > 20


def test_padding_at_the_right_of_a_whole_batch_is_left_out(gpt2: GPT2LMHeadModel) -> None:
    ids = torch.tensor([[5, 9, 11, 40, 0, 0, 0]])
    padded = record_call(gpt2, input_ids=ids, attention_mask=(ids > 0).long())
    found = report(padded, record_call(gpt2, input_ids=ids[:, :4]))
    assert found.comparison.same
    assert found.comparison.compared > 20
    assert "without the padding at the right of A's prompts" in _told(found)


def test_the_empty_places_of_a_cache_of_fixed_length_are_left_out(gpt2: GPT2LMHeadModel) -> None:
    ids = torch.tensor([[5, 9, 11, 40]])
    cache = StaticCache(config=gpt2.config, max_cache_len=9)
    fixed, plain = record_call(gpt2, input_ids=ids, past_key_values=cache), record_call(gpt2, input_ids=ids)
    for found in (report(fixed, plain), report(plain, fixed)):
        assert found.comparison.same
        assert "without the empty places of" in _told(found)


def test_rows_in_another_order_are_found_by_their_tokens(gpt2: GPT2LMHeadModel) -> None:
    ids = torch.tensor([[5, 9, 11], [3, 17, 42]])
    found = report(record_call(gpt2, input_ids=ids), record_call(gpt2, input_ids=ids.flip(0)))
    assert found.comparison.same
    assert "prompt 0 of A beside prompt 1 of B" in _told(found)


def test_other_tokens_are_no_padding(gpt2: GPT2LMHeadModel) -> None:
    longer = record_call(gpt2, input_ids=torch.tensor([[7, 8, 5, 9, 11, 40]]))
    found = report(longer, record_call(gpt2, input_ids=IDS[:1, 3:]))
    assert not found.comparison.same
    assert not found.positions


LONG, OTHER_END = torch.tensor([[5, 9, 11, 40, 7]]), torch.tensor([[5, 9, 11, 40, 8]])


@pytest.mark.parametrize(
    ("ids", "last"),
    [(LONG[:, :1], 0), (LONG[:, :3], 1), (OTHER_END, 1), (LONG[:, :3], 0)],
    ids=["one token", "beginning", "other end", "beginning, all"],
)
@pytest.mark.parametrize("kept", [0, 1])
def test_last_logits_are_not_held_against_those_of_another_position(
    gpt2: GPT2LMHeadModel, ids: torch.Tensor, last: int, kept: int
) -> None:
    a = record_call(gpt2, input_ids=ids, logits_to_keep=last)
    b = record_call(gpt2, input_ids=LONG, logits_to_keep=kept)
    for found in (report(a, b), report(b, a)):
        assert found.first is None
        assert found.comparison.compared > 20


def test_the_last_logits_of_one_side_are_held_against_the_same_of_the_other(gpt2: GPT2LMHeadModel) -> None:
    last, whole = record_call(gpt2, input_ids=LONG, logits_to_keep=3), record_call(gpt2, input_ids=LONG)
    found = report(last, whole)
    assert found.comparison.same
    assert all(site.distance is not None for site in found.comparison.sites if site.site in ("lm_head", "logits"))
    wrong = report(_with(last, "lm_head", lambda logits: logits + 1), whole)
    assert wrong.first is not None
    assert wrong.first.site == "lm_head"
    one = _with(last, "lm_head", lambda logits: logits + np.eye(3)[:, [1]])  # [B,T,V]: the second of the last three
    assert f"] at token {LONG.shape[1] - 2} “" in _told(report(whole, one))


@pytest.fixture(scope="module")
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=128
    )
    return LlamaForCausalLM(config).eval()


def test_a_table_of_angles_is_not_at_fault_where_it_was_given_other_positions(llama: LlamaForCausalLM) -> None:
    other = torch.tensor([[0, 1, 4, 3, 4]])
    found = report(record_call(llama, input_ids=LONG, position_ids=other), record_call(llama, input_ids=LONG))
    assert found.first is not None
    assert found.first.site == "model.rotary_emb"
    assert not found.at_fault
    assert "made of weights and token ids or positions" in _told(found)


def test_rotary_positions_that_count_the_padding_are_no_fault(llama: LlamaForCausalLM) -> None:
    """Scores know of no position but by its distance to another."""
    alone = record_call(llama, input_ids=IDS[:1, 3:])
    counted = record_call(llama, input_ids=IDS, attention_mask=MASK)
    for found in (report(counted, alone), report(alone, counted)):
        assert verdict(found).startswith("Same: ")
        assert "both count positions with the padding" in _told(found)
    wrong = report(_with(counted, "model.layers.0.self_attn:heads", lambda heads: heads * 1.5), alone)
    assert wrong.first is not None
    assert wrong.first.site == "model.layers.0.self_attn:heads"


def test_rotary_positions_that_are_wrong_beside_padding_are_told(llama: LlamaForCausalLM) -> None:
    alone = record_call(llama, input_ids=IDS[:1, 3:])
    found = report(record_call(llama, input_ids=IDS, attention_mask=MASK, position_ids=2 * POSITIONS), alone)
    assert found.first is not None
    assert found.first.site == "model.rotary_emb"


def _records_of(width: int, states: Mapping[str, Array]) -> Trace:
    """A run over the first tokens, with what a module made of all of them."""
    stream = {site: normal(1, 5, 8)[:, :width] for site in ("model.layers.0", "model.layers.1")}
    return trace_of({**stream, **states}, [list(range(5, 5 + width))])


def test_what_counts_no_tokens_is_left_out_where_other_tokens_were_seen() -> None:
    state = "model.layers.1.self_attn:memory"
    short, long = (_records_of(width, {state: normal(1, 2, 3, 3, seed=width)}) for width in (3, 5))
    padded = replace(long, tokens=(long.tokens[0][:3],))
    found = report(padded, short)
    assert found.comparison.same
    assert not report(_records_of(3, {state: normal(1, 2, 3, 3, seed=9)}), short).comparison.same


def test_rows_of_one_expert_are_no_positions() -> None:
    rows = "model.layers.1.mlp.experts.mlp"
    short, long = (_records_of(width, {rows: normal(width, 8, seed=width)}) for width in (3, 5))
    assert report(replace(long, tokens=(long.tokens[0][:3],)), short).comparison.same


def test_attention_weights_that_one_kernel_alone_returns_are_not_held_against_another_part() -> None:
    site = "model.layers.0.self_attn"
    records = {f"{site}": normal(1, 4, 8), f"{site}.1": normal(1, 2, 4, 4), f"{site}.2": normal(1, 4, 3)}

    def run(*parts: str) -> Trace:
        trace = trace_of({name: records[name] for name in parts})
        named = (replace(record, site=site, part=at) for at, record in enumerate(trace.records))
        return replace(trace, records=tuple(named))

    eager, plain = run(*records), run(site, f"{site}.2")
    assert report(eager, plain).comparison.same
    other = run(site, f"{site}.1")
    assert not report(run(site, f"{site}.2"), other).comparison.same, "as many parts on both sides"


def test_states_that_layers_return_don_t_tell_how_many_positions_there_are() -> None:
    def run(width: int) -> Trace:
        site = "backbone.blocks.0"
        parts = [normal(1, 5, 8)[:, :width], *(normal(1, 4, 6, seed=10 * width + at) for at in range(3))]
        trace = trace_of({f"{site}.{at}": part for at, part in enumerate(parts)}, [list(range(3, 3 + width))])
        named = (replace(record, site=site, part=at) for at, record in enumerate(trace.records))
        return replace(trace, records=tuple(named))

    padded = replace(run(5), tokens=run(3).tokens)
    found = report(padded, run(3))
    assert found.comparison.same
    assert "without the padding at the right" in _told(found)


def test_a_bias_by_position_may_be_off_by_the_same_for_all_keys() -> None:
    site, bias = "model.layers.0.self_attn:position_bias", normal(1, 2, 4, 4)
    moved = bias + normal(1, 2, 4, 1, seed=1)
    assert report(trace_of({site: moved}), trace_of({site: bias})).comparison.same
    assert not report(trace_of({site: moved * 1.01}), trace_of({site: bias})).comparison.same


@pytest.mark.parametrize("past", [3, 4])
def test_a_pass_that_goes_on_from_a_cache_is_the_end_of_one_over_all(llama: LlamaForCausalLM, past: int) -> None:
    cache = DynamicCache(config=llama.config)
    with torch.no_grad():
        llama(input_ids=LONG[:, :past], past_key_values=cache)
    rest, whole = (
        record_call(llama, input_ids=LONG[:, past:], past_key_values=cache),
        record_call(llama, input_ids=LONG),
    )
    for found in (report(rest, whole), report(whole, rest)):
        assert verdict(found).startswith("Same: "), verdict(found)
        assert found.comparison.compared > 15
        assert "as if it went on from a cache of those before" in _told(found)
    wrong = report(_with(rest, "model.layers.0.self_attn:k", lambda keys: np.roll(keys, 1, axis=2)), whole)
    assert wrong.first is not None
    assert wrong.first.site == "model.layers.0.self_attn:k"
    fresh = report(record_call(llama, input_ids=LONG[:, past:]), whole)
    assert not fresh.comparison.same, "nothing came before"


def test_a_dump_of_one_position_is_found_by_its_values() -> None:
    whole = {
        site: normal(1, 5, 8, seed=seed) for seed, site in enumerate(("model.layers.0", "model.layers.1", "lm_head"))
    }
    for at in (0, 2, 4):
        one = {site: array[:, at : at + 1] for site, array in whole.items()}
        for found in (
            report(trace_of(one, dump=True), trace_of(whole)),
            report(trace_of(whole), trace_of(one, dump=True)),
        ):
            assert found.comparison.same
            assert found.comparison.compared == 3
            assert f"stands beside position {at} of" in _told(found)
    wrong = report(trace_of({**one, "model.layers.1": one["model.layers.1"] * 1.5}, dump=True), trace_of(whole))
    assert wrong.first is not None
    assert wrong.first.site == "model.layers.1"
    strange = {site: normal(1, 1, 8, seed=20) for site in whole}
    assert "stands beside" not in _told(report(trace_of(strange, dump=True), trace_of(whole)))


def test_passes_that_compute_all_positions_anew_stand_beside_one_pass() -> None:
    """As of a model without a cache."""
    stream, tokens = normal(1, 5, 8), list(range(5, 10))

    def one(width: int) -> Trace:
        scores = normal(1, 2, 5, 5, seed=2)[:, :, :width, :width]
        return trace_of({"model.layers.0": stream[:, :width], "model.layers.0.attn.drop": scores}, [tokens[:width]])

    passes = [one(3), one(4)]
    records = [
        replace(record, pass_=pass_, index=2 * pass_ + at)
        for pass_, trace in enumerate(passes)
        for at, record in enumerate(trace.records)
    ]
    values = tuple(value for trace in passes for value in trace.values)
    generated = replace(one(5), records=tuple(records), values=values, generated=(2,))
    for found in (report(generated, one(4)), report(one(4), generated)):
        assert not found.comparison.misfits
        assert verdict(found).startswith("Same: 4 of 4"), verdict(found)


def test_padding_at_the_left_stands_beside_padding_at_the_right(llama: LlamaForCausalLM) -> None:
    """One side has the angles of each row, the other one row for all."""
    right = IDS.clone()
    right[0] = torch.tensor([5, 9, 11, 40, 0, 0, 0])
    here = record_call(llama, input_ids=IDS, attention_mask=MASK, position_ids=POSITIONS)
    there = record_call(llama, input_ids=right, attention_mask=(torch.arange(7) < torch.tensor([[4], [7]])).long())
    for found in (report(here, there), report(there, here)):
        assert found.comparison.same
        assert not found.comparison.misfits
        assert found.comparison.compared > 15
