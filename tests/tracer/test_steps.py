"""Attention computed step by step where a stop or an edit names its matrices: the model's own arithmetic, watched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tracer.recipes import recipe
from tests.tracer.test_attention import view
from tests.tracer.test_edits import config_file, edited, logits
from tests.tracer.test_engine import assert_same
from tests.tracer.test_families import FAMILIES, IDS, WITHOUT_STEPS, ordinary, with_same_kernels
from tests.tracer.test_live import driven
from tests.tracer.test_stops import next_stop
from tracetui.analysis.attention.heads import head_identity
from tracetui.analysis.attention.mla import latent_of
from tracetui.debugger.session import Event, Fired, Started, Tallied, until_end
from tracetui.expr.edit_parse import parse_edits
from tracetui.expr.stop import DEFAULT_STOPS, parse_stop
from tracetui.expr.watch import look_at, parse_watch
from tracetui.recipe import Generation, Prompts, load_recipe, texts
from tracetui.recipe.options import with_options
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe

SITE = "model.layers.1.self_attn"
SHOWING = sorted(set(FAMILIES) - WITHOUT_STEPS)
SHORT = Prompts(ids=((5, 8, 299, 3),))


def of_family(path: Path, *edits: str, dtype: str = "float32", **fields: Any) -> Trace:
    found = replace(with_options(load_recipe(str(path)), dtype=dtype), edits=parse_edits(edits, ""))
    return trace_recipe(replace(found, **fields), ids=IDS)


def stopped(*stops: str, of: Any = None) -> tuple[Trace, list[Event]]:
    events: list[Event] = []
    return trace_recipe(of or recipe(), stops=[parse_stop(stop) for stop in stops], emit=events.append), events


def trace_layers(trace: Trace) -> int:
    """How many attention calls were recorded."""
    return sum(record.role == "q" for record in trace.records)


def rows(trace: Trace, key: str) -> Any:
    return trace[key].astype(np.float64)


@pytest.mark.parametrize(
    ("family", "dtype"),
    [
        *((family, "float32") for family in SHOWING),
        ("llama", "bfloat16"),
        ("gemma2", "bfloat16"),
        ("gpt_oss", "bfloat16"),
    ],
)
def test_an_edit_that_changes_nothing_gives_what_eager_attention_gives_bit_for_bit(
    family: str, dtype: str, tmp_path: Path
) -> None:
    path = config_file(family, tmp_path)
    nothing = ("*:scores head 0: scale 1", "*:probs[0]: scale 1")
    trace = of_family(path, *nothing, dtype=dtype)
    model = with_same_kernels(ordinary(path, dtype))
    model.set_attn_implementation("eager")
    np.testing.assert_array_equal(trace["logits"], logits(model))
    assert sum(record.role == "probs" and record.edited for record in trace.records) == trace_layers(trace)


def test_a_layer_that_is_named_is_computed_step_by_step_and_no_other() -> None:
    trace, plain = edited("layers.1.self_attn:probs head 2: scale 1"), edited()
    roles = [record.site.removeprefix(SITE) for record in trace.records if record.site.startswith(f"{SITE}:")]
    assert roles == [":q", ":k", ":v", ":scores", ":masked", ":probs:before_edit", ":probs", ":heads"]
    assert len(trace) == len(plain) + 4
    others = [record.key for record in trace.records if record.layer != 1]
    assert others == [record.key for record in plain.records if record.layer != 1]
    assert (trace.attention[f"{SITE}:q"].kernel, trace.attention["model.layers.0.self_attn:q"].kernel) == (
        "eager",
        "sdpa",
    )
    np.testing.assert_allclose(trace["logits"], plain["logits"], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(trace["model.layers.1:input"], plain["model.layers.1:input"])
    assert any("step by step" in note for note in trace.run.notes)


@pytest.mark.parametrize("stop", ["*", "if nan", "*.self_attn*", "layers.1.self_attn", "*:?robs"])
def test_a_stop_that_only_fits_matrices_asks_for_none(stop: str) -> None:
    trace, _ = stopped(stop, *(default.text for default in DEFAULT_STOPS))
    assert_same(trace, edited())


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen2", "gpt_oss", "deepseek_v3", "granite"])
def test_edited_probabilities_go_on_into_the_product_with_the_values(family: str, tmp_path: Path) -> None:
    trace = of_family(config_file(family, tmp_path), "layers.1.self_attn:probs head 2[:,:,-1,0]: set 0.75")
    found = view(trace, 1)
    before, after = rows(trace, f"{SITE}:probs:before_edit"), rows(trace, f"{SITE}:probs")  # [B,H,T,S]
    expected = before.copy()
    expected[:, 2, -1, 0] = 0.75
    np.testing.assert_array_equal(after, expected)
    values = np.repeat(rows(trace, f"{SITE}:v"), found.heads // found.kv_heads, axis=1)  # [B,H,S,Kv]
    np.testing.assert_allclose(after @ values, rows(trace, f"{SITE}:heads"), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.matrix("probs", 2), after[0, 2].astype(np.float32))
    identity = head_identity(found, 2)
    assert identity is not None
    assert identity.holds


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen2", "gpt_oss", "deepseek_v3"])
def test_edited_scores_go_on_through_mask_and_softmax(family: str, tmp_path: Path) -> None:
    trace = of_family(config_file(family, tmp_path), "layers.1.self_attn:scores head 1[:,:,4:,2]: set -inf")
    found, scores = view(trace, 1), rows(trace, f"{SITE}:scores")  # [B,H,T,S]
    probs, whole = rows(trace, f"{SITE}:probs"), rows(trace, f"{SITE}:scores:before_edit")
    assert not probs[:, 1, 4:, 2].any()
    assert probs[:, 1, 2:4, 2].all()
    assert np.isfinite(whole).all()
    visible = np.tri(len(IDS), dtype=bool)
    masked = rows(trace, f"{SITE}:masked")
    np.testing.assert_array_equal(
        masked[..., visible & ~np.isneginf(scores[0, 1])], scores[..., visible & ~np.isneginf(scores[0, 1])]
    )
    shares = np.exp(np.where(masked < -1e30, -np.inf, masked))
    if family != "gpt_oss":
        np.testing.assert_allclose(probs, shares / shares.sum(-1, keepdims=True), atol=1e-6)
    assert (probs.sum(-1) < 0.999).all() if family == "gpt_oss" else np.allclose(probs.sum(-1), 1)
    np.testing.assert_allclose(found.matrix("masked", 1)[4:, 2], -np.inf)
    assert trace.find("logits") is not None
    assert np.isfinite(trace["logits"]).all()


def test_a_head_without_probabilities_is_a_head_set_to_zero() -> None:
    probs, heads = edited("layers.1.self_attn:probs head 2: zero"), edited("layers.1.self_attn head 2: zero")
    np.testing.assert_allclose(probs["logits"], heads["logits"], rtol=0, atol=1e-5)
    assert np.abs(probs["logits"] - edited()["logits"]).max() > 1e-3


def test_what_an_edit_hides_is_no_alarm_but_what_it_makes_of_a_whole_row_is() -> None:
    events: list[Event] = []
    hidden = recipe(edits=parse_edits(["layers.1.self_attn:scores[:,:,3,1]: set -inf"], ""))
    trace_recipe(hidden, stops=DEFAULT_STOPS, emit=events.append)
    assert not [event for event in events if isinstance(event, Fired)]
    broken = recipe(edits=parse_edits(["layers.1.self_attn:scores head 0: set -inf"], ""))
    trace = trace_recipe(broken, stops=DEFAULT_STOPS, emit=events.append)
    first = next(event for event in events if isinstance(event, Fired))
    assert trace.records[first.hits[0].index].key == f"{SITE}:probs"


@pytest.mark.parametrize("stop", ["*:masked", "*:probs"])
def test_with_a_cache_every_pass_shows_its_matrices(stop: str) -> None:
    fields: dict[str, Any] = {"generation": Generation(3, stop=()), "prompts": SHORT}
    trace, _ = stopped(stop, of=recipe(**fields))
    plain = trace_recipe(recipe(**fields))
    assert [trace[f"{SITE}:probs{at}"].shape for at in ("", "@1", "@2")] == [(1, 4, 4, 4), (1, 4, 1, 5), (1, 4, 1, 6)]
    assert [token.id for token in trace.tokens[0]] == [token.id for token in plain.tokens[0]]
    np.testing.assert_allclose(trace[f"{SITE}:probs@2"].sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(trace[f"{SITE}:heads@2"], plain[f"{SITE}:heads@2"], rtol=0, atol=1e-6)


def test_an_edit_of_one_pass_leaves_the_kernel_alone_in_the_others() -> None:
    trace = edited("layers.1.self_attn:probs pass 1: zero", generation=Generation(3, stop=()), prompts=SHORT)
    assert [f"{SITE}:probs{at}" in trace for at in ("", "@1", "@2")] == [False, True, False]


def test_rows_of_a_batch_see_no_padding() -> None:
    trace, _ = stopped("*:probs", of=recipe(prompts=Prompts(ids=((5, 8, 299, 3, 9), (7, 8)))))
    plain = trace_recipe(recipe(prompts=Prompts(ids=((5, 8, 299, 3, 9), (7, 8)))))
    assert not trace[f"{SITE}:probs"][1, :, :2, 2:].any()
    np.testing.assert_allclose(trace["logits"][1, :2], plain["logits"][1, :2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("mla", ["naive", "absorb"])
def test_latent_attention_shows_its_matrices_either_way(mla: str, tmp_path: Path) -> None:
    path = config_file("deepseek_v3", tmp_path)
    trace = of_family(path, "layers.1.self_attn:scores head 0: scale 1", mla=mla)
    plain = of_family(path, mla=mla)
    np.testing.assert_allclose(trace["logits"], plain["logits"], rtol=0, atol=1e-5)
    found = view(trace, 1)
    latent = latent_of(found)
    assert latent is not None
    computed = (latent.scores(0) if mla == "absorb" else found.computed_scores(0))[np.tri(len(IDS), dtype=bool)]
    np.testing.assert_allclose(trace[f"{SITE}:scores"][0, 0][np.tri(len(IDS), dtype=bool)], computed, rtol=0, atol=1e-5)
    if mla == "absorb":
        np.testing.assert_array_equal(trace["logits"], plain["logits"])


def test_a_stop_at_absorbed_scores_has_its_own_layers_computed(tmp_path: Path) -> None:
    of = replace(
        load_recipe(str(config_file("deepseek_v3", tmp_path))), dtype="float32", prompts=Prompts(ids=(tuple(IDS),))
    )
    trace, events = stopped("layers.1.self_attn:absorbed_scores if max > -1e9", of=of)
    fired = [event for event in events if isinstance(event, Fired)]
    assert [trace.records[hit.index].key for event in fired for hit in event.hits] == [f"{SITE}:absorbed_scores"]
    assert "model.layers.0.self_attn:absorbed_scores" not in trace


def test_with_attention_recorded_too_no_matrix_stands_there_twice() -> None:
    trace = edited("layers.1.self_attn:probs head 0: zero", attention="probs")
    keys = [record.key for record in trace.records]
    assert len(keys) == len(set(keys))
    assert not trace[f"{SITE}:probs"][:, 0].any()
    assert "model.layers.0.self_attn:probs" in trace


def test_attention_of_a_family_that_computes_it_itself_says_why_nothing_came(tmp_path: Path) -> None:
    of = replace(load_recipe(str(config_file("falcon", tmp_path))), prompts=Prompts(ids=(tuple(IDS),)))
    trace, events = stopped("*:probs", of=of)
    assert any("computes attention itself" in note for note in trace.run.notes)
    assert [tally.matched for event in events if isinstance(event, Tallied) for tally in event.tallies] == [0]


def test_the_model_waits_at_a_matrix_and_goes_on_with_what_is_edited_there() -> None:
    reference = edited("layers.2.self_attn:probs head 1: zero", prompts=texts("hello there"))
    with driven() as driver:
        driver.session.stop_at((parse_stop("layers.0.self_attn"),))
        driver.session.start(texts("hello there"), until_end)
        assert next_stop(driver) is not None
        driver.session.stop_at((parse_stop("layers.2.self_attn:probs if max > 0.1"),))
        driver.session.advance(until_end)
        reached = next_stop(driver)
        assert reached is not None
        hits, frontier = reached
        assert driver.trace is not None
        assert driver.trace.records[-1].key == "model.layers.2.self_attn:probs"
        assert "model.layers.1.self_attn:probs" not in driver.trace
        assert dict(hits[0].told)["max"] == 1
        driver.session.edit(parse_edits(["layers.2.self_attn:probs head 1: zero"], ""), frontier - 1)
        driver.session.stop_at(())
        driver.session.advance(until_end)
        while next_stop(driver) is not None:
            driver.session.advance(until_end)
        for key in ("model.layers.2.self_attn:probs:before_edit", "model.layers.2.self_attn:probs", "logits"):
            np.testing.assert_array_equal(driver.trace[key], reference[key])


def test_an_entropy_asked_after_an_edit_is_that_of_the_edited_rows() -> None:
    of = recipe(edits=parse_edits(["layers.1.self_attn:probs: zero"], ""))
    _, events = stopped(
        "layers.1.self_attn if entropy(head=1) == 0", "layers.0.self_attn if entropy(head=1) > 0", of=of
    )
    assert [hit.stop.pattern.text for event in events if isinstance(event, Fired) for hit in event.hits] == [
        "layers.0.self_attn",
        "layers.1.self_attn",
    ]


def test_a_watch_computes_the_matrices_that_no_run_recorded() -> None:
    trace, shown = edited(), stopped("*:probs")[0]
    for text in (
        "layers.*.self_attn:probs[0,2,-1,0]",
        "layers.*.self_attn:scores.max",
        "norm / prev.norm at layers.*.self_attn:probs",
    ):
        found, recorded = (look_at(parse_watch(text), of, len(of.records), len(of.records)) for of in (trace, shown))
        assert [point.label for point in found.points] == ["0", "1", "2"]
        np.testing.assert_allclose(
            [point.value for point in found.points], [point.value for point in recorded.points], rtol=1e-5
        )


def test_the_plan_counts_a_layers_scores_where_they_are_computed() -> None:
    events: list[Event] = []
    for stops in ((), [parse_stop("*:probs")]):
        trace_recipe(recipe(prompts=Prompts(ids=(tuple(range(3, 60)),))), stops=stops, emit=events.append)
    plain, counted = (event.plan.attending for event in events if isinstance(event, Started))
    assert counted >= 4 * 57 * 57 * (4 + 3 * 4)
    assert counted >= plain
