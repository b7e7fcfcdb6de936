"""A run taken up again from a recorded layer: the same as all of it done again, and nothing before it is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from tests.tracer.recipes import recipe
from tests.tracer.test_families import IDS
from tests.tracer.test_generating import config_file
from tests.tracer.test_live import PROMPT, Driver, driven
from tracetui.debugger.fault import ModelError
from tracetui.debugger.session import Event, Failed, Finished, Started, Stopped, Tallied, until_end
from tracetui.errors import Cancelled, InputError
from tracetui.expr.edit_log import EditLog
from tracetui.expr.edit_parse import parse_edits
from tracetui.expr.stop import parse_stops
from tracetui.models.module_tree import KnownModel
from tracetui.recipe import Generation, Prompts, Recipe, load_recipe, texts
from tracetui.recipe.recorded.edits import edits_of
from tracetui.recording.keep import Room, parse_keep
from tracetui.recording.npz import write_trace
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.hooks.module_site import ModuleSite
from tracetui.tracer.replay.stubs import RecordedLayer
from tracetui.tracer.run import trace_recipe

GREEDY = Generation(4, stop=())
NO_TOKENS = Generation(0)
CACHED = [
    *("llama", "qwen3", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "phi", "phi3", "falcon", "bloom", "gptj"),
    *("cohere", "stablelm", "olmo2", "mixtral", "qwen2_moe", "gpt_oss", "deepseek_v3", "llama4_text", "mistral"),
]
"""Families of which layers can be left out while the model keeps a cache."""


def of_family(family: str, folder: Path, **fields: Any) -> Recipe:
    found = load_recipe(str(config_file(family, folder)))
    return replace(found, **{"dtype": "float32", "memory": 0, "prompts": Prompts(ids=(tuple(IDS),)), **fields})


def gate(edits: Sequence[str] = (), **said: Any) -> Gate:
    return Gate(edits=EditLog(parse_edits(edits, "")), **said)


@contextmanager
def made(of: Recipe, events: list[Event] | None = None) -> Iterator[Engine]:
    engine = Engine(of, (lambda event: None) if events is None else events.append, goes_on=True)
    try:
        yield engine
    finally:
        engine.close()
        assert all(slot.look(module) is slot.placeholder for module, slot in engine.runnable.weights.all_slots())
        assert not any(isinstance(module, RecordedLayer) for module in engine.runnable.built.module.modules())


def place(trace: Trace, key: str) -> int:
    found = trace.find(key)
    assert found is not None, key
    return found.index


def same(one: Trace, other: Trace, folder: Path) -> None:
    """The same to the last byte of their files, but for how long it took."""
    assert [replace(record, seconds=None) for record in one.records] == [
        replace(record, seconds=None) for record in other.records
    ]
    assert one.run.recipe == other.run.recipe
    started = replace(one.run, started="")
    write_trace(replace(one, run=started), folder / "one.npz")
    write_trace(replace(other, run=replace(other.run, started="")), folder / "other.npz")
    with np.load(folder / "one.npz") as first, np.load(folder / "other.npz") as second:
        assert first.files == second.files
        for name in first.files:
            if name != "__timing__":
                assert first[name].tobytes() == second[name].tobytes(), name


def rerun(engine: Engine, at: str, *edits: str) -> Trace:
    past = engine._past
    assert past is not None
    return engine.rerun(place(past.recorder.trace, at), gate(edits))


@pytest.mark.parametrize(
    ("family", "dtype"),
    [(family, ("float32", "bfloat16")[place % 2]) for place, family in enumerate((*CACHED, "llama"))],
)
def test_from_a_layer_on_it_is_what_all_of_it_is(family: str, dtype: str, tmp_path: Path) -> None:
    of = of_family(family, tmp_path, dtype=dtype, generation=replace(GREEDY, count=3))
    events: list[Event] = []
    with made(of, events) as engine:
        first = engine.run(of.prompts, gate())
        layer = next(record.site for record in first.records if record.layer == 1).partition(":")[0]
        edited = rerun(engine, layer, f"{layer}: noise 0.3")
        begun = [event for event in events if isinstance(event, Started)][-1]
        assert begun.cut.whole == ""
        assert begun.cut.layers == (layer.replace("1", "0"),)
    assert edited.records[: begun.cut.record] == first.records[: begun.cut.record]
    assert all(a is b for a, b in zip(edited.values, first.values[: begun.cut.record], strict=False))
    assert not np.array_equal(edited["logits"], first["logits"])
    again = trace_recipe(replace(of, edits=edits_of(edited, "")))
    same(edited, again, tmp_path)


@pytest.mark.parametrize("family", ["mistral", "gemma3_text", "gpt_oss", "gpt2"])
def test_a_later_pass_is_taken_up_with_the_cache_that_it_had(family: str, tmp_path: Path) -> None:
    of = of_family(family, tmp_path, generation=Generation(6, temperature=3.0, seed=5, stop=()))
    with made(of) as engine:
        first = engine.run(of.prompts, gate())
        layer = next(record.site for record in first.records if record.layer == 1).partition(":")[0]
        for at, edit in (
            (f"{layer}@3", f"{layer} pass 3: noise 0.5"),
            (f"{layer.replace('1', '0')}@2", "lm_head: scale 2"),
        ):
            edited = rerun(engine, at, edit)
            begun = engine._past
            assert begun is not None
            assert begun.cut.whole == ""
            assert not np.array_equal(edited["logits@3"], first["logits@3"])
            same(edited, trace_recipe(replace(of, edits=edits_of(edited, ""))), tmp_path)


@pytest.mark.parametrize("mla", ["naive", "absorb"])
def test_latents_of_the_passes_before_are_known_again(mla: str, tmp_path: Path) -> None:
    of = of_family("deepseek_v3", tmp_path, generation=GREEDY, mla=mla)
    with made(of) as engine:
        engine.run(of.prompts, gate())
        edited = rerun(engine, "model.layers.1@2", "layers.1.mlp: noise 1")
    assert "model.layers.0.self_attn:kv_latent@3" in edited
    same(edited, trace_recipe(replace(of, edits=edits_of(edited, ""))), tmp_path)


def test_a_run_left_within_a_layer_is_taken_up_from_that_layer_on(tmp_path: Path) -> None:
    """The layer has put its keys in the cache already, and returned nothing yet."""
    of = recipe(generation=GREEDY, prompts=Prompts(ids=((5, 8, 299, 3),)))
    events: list[Event] = []
    with made(of, events) as engine:
        leaving = gate()

        def leave(record: Record) -> bool:
            if record.site == "model.layers.1.self_attn:heads":
                leaving.cancel()
            return leaving.cancelled

        leaving.advance(leave)
        with pytest.raises(Cancelled):
            engine.run(of.prompts, leaving)
        edited = rerun(engine, "model.layers.1.self_attn:heads", "layers.1.mlp: scale 2")
        cut = next(event for event in reversed(events) if isinstance(event, Started)).cut
    assert cut.whole == ""
    assert cut.layers == ("model.layers.0",)
    same(edited, trace_recipe(replace(of, edits=edits_of(edited, ""))), tmp_path)


AFTER_ALL = ("model.norm", "lm_head", "logits")


@pytest.mark.parametrize("at", ["model.layers.2.mlp.up_proj", "model.layers.1.self_attn:heads", *AFTER_ALL])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_layers_before_the_cut_are_not_run_and_their_weights_not_made(at: str, dtype: str, tmp_path: Path) -> None:
    of = recipe(dtype=dtype, memory=0)
    events: list[Event] = []
    with made(of, events) as engine:
        first = engine.run(of.prompts, gate())
        makes = engine.runnable.weights.put_in
        seen: list[nn.Module] = []

        def put_in(module: nn.Module, making: Any) -> None:
            seen.append(module)
            makes(module, making)

        engine.runnable.weights.put_in = put_in  # type: ignore[method-assign]
        again = rerun(engine, at)
        names = {module: path for path, module in engine.runnable.built.module.named_modules()}
    cut = next(event for event in reversed(events) if isinstance(event, Started)).cut
    ran = {names[module] for module in seen}
    assert cut.layers == tuple(f"model.layers.{layer}" for layer in range(3 if at in AFTER_ALL else int(at[13])))
    assert not any(path.startswith(cut.layers) for path in ran)
    assert any(path.startswith("model.norm") for path in ran)
    assert cut.seconds > 0
    same(first, again, tmp_path)


def test_reruns_follow_each_other_and_each_keeps_the_edits_that_it_had() -> None:
    of = recipe(generation=GREEDY, prompts=Prompts(ids=((5, 8, 299, 3),)))
    with made(of) as engine:
        plain = engine.run(of.prompts, gate(["rotary_emb: scale 1.5", "layers.0.mlp: scale 2"]))
        one = rerun(engine, "model.layers.1.mlp", "rotary_emb: scale 1.5", "layers.*.mlp: zero")
        two = rerun(engine, "model.layers.2.self_attn", "layers.*.mlp: zero")
        three = rerun(engine, "model.layers.1.self_attn", "layers.2.mlp: scale 3")
    assert plain.run.recipe["edits"] == ["rotary_emb: scale 1.5", "layers.0.mlp: scale 2"]
    starts = [place(plain, f"model.layers.{layer}") + 1 for layer in (0, 1)]
    assert one.run.recipe["edits"] == [
        f"layers.0.mlp until {starts[0]}: scale 2", "rotary_emb: scale 1.5", f"layers.*.mlp from {starts[0]}: zero",
    ]  # fmt: skip
    for trace in (one, two, three):
        again = trace_recipe(replace(of, edits=edits_of(trace, "")))
        assert [replace(record, seconds=None) for record in again.records] == [
            replace(record, seconds=None) for record in trace.records
        ]
        assert again.run.notes == trace.run.notes
        assert all(np.array_equal(a.read(), b.read()) for a, b in zip(trace.values, again.values, strict=True))


def test_tallies_count_what_came_before_the_cut() -> None:
    edits = ["layers.0.mlp: zero", "layers.*.self_attn: scale 2", "layers.9: zero"]
    events: list[Event] = []
    of = recipe()
    stops = parse_stops(["layers.*.mlp if norm > 0", "layers.0"], "")
    with made(of, events) as engine:
        first = engine.run(of.prompts, gate(edits, stops=stops, waits=False))
        whole = next(event for event in reversed(events) if isinstance(event, Tallied))
        engine.rerun(place(first, "model.layers.2.mlp"), gate(edits, stops=stops, waits=False))
    again = next(event for event in reversed(events) if isinstance(event, Tallied))
    assert [(tally.stop, tally.matched, tally.fired) for tally in again.tallies] == [
        (tally.stop, tally.matched, tally.fired) for tally in whole.tallies
    ]
    assert [(tally.applied, tally.untold) for tally in again.edits] == [(1, ""), (3, ""), (0, "")]


@pytest.mark.parametrize(
    ("at", "why", "fields"),
    [
        ("model.layers.0.mlp", "no layer lies before it", {}),
        ("model.embed_tokens", "no layer lies before it", {}),
        ("model.layers.2", "not kept", {"keep": parse_keep(["*.mlp"], "")}),
        ("model.layers.2", "not kept", {"room": Room(memory=0, disk=0)}),
        ("model.layers.2", "lens", {"lens": 3}),
    ],
)
def test_what_cant_be_left_out_is_run_and_said(at: str, why: str, fields: dict[str, Any], tmp_path: Path) -> None:
    of = recipe(**fields)
    events: list[Event] = []
    with made(of, events) as engine:
        first = engine.run(of.prompts, gate())
        again = engine.rerun(place(first, at), gate())
    assert why in next(event for event in reversed(events) if isinstance(event, Started)).cut.whole
    same(first, again, tmp_path)


@pytest.mark.parametrize("family", ["mamba", "rwkv", "deepseek_v4"])
def test_other_caches_are_run_whole(family: str, tmp_path: Path) -> None:
    of = of_family(family, tmp_path, generation=GREEDY)
    with made(of) as engine:
        first = engine.run(of.prompts, gate())
        layer = next(record.site for record in first.records if record.layer == 1).partition(":")[0]
        edited = rerun(engine, layer, f"{layer}: noise 1")
        past = engine._past
        assert past is not None
        assert past.cut.whole.startswith("this family")
    same(edited, trace_recipe(replace(of, edits=edits_of(edited, ""))), tmp_path)


def test_values_come_back_from_the_spill_file(tmp_path: Path) -> None:
    of = recipe(dtype="bfloat16", room=Room(memory=0, disk=None, folder=tmp_path))
    with made(of) as engine:
        engine.run(of.prompts, gate())
        edited = rerun(engine, "model.layers.2.mlp", "layers.2.mlp: zero")
        past = engine._past
        assert past is not None
        assert past.cut.taken
    same(edited, trace_recipe(replace(of, edits=edits_of(edited, ""), room=Room())), tmp_path)


def test_rows_of_different_length_have_no_cache_and_are_taken_up_too(tmp_path: Path) -> None:
    of = recipe(prompts=Prompts(ids=((5, 8, 299, 3), (7, 9))))
    with made(of) as engine:
        engine.run(of.prompts, gate())
        edited = rerun(engine, "model.layers.1", "layers.1: scale 2")
        past = engine._past
        assert past is not None
        assert past.cut.layers == ("model.layers.0",)
    same(edited, trace_recipe(replace(of, edits=edits_of(edited, ""))), tmp_path)


@pytest.mark.parametrize("keys", ["model.layers.2.self_attn", "model.layers.1.mlp"])
def test_a_rerun_that_is_cancelled_leaves_the_model_as_it_was(keys: str) -> None:
    of = recipe(generation=GREEDY, prompts=Prompts(ids=((5, 8, 299, 3),)))
    with made(of) as engine:
        first = engine.run(of.prompts, gate())
        modules = [module for _, module in engine.runnable.built.module.named_modules()]
        cancelled = Gate(lambda record: cancel(record, keys), edits=EditLog(parse_edits(["layers.2: zero"], "")))

        def cancel(record: Record, key: str) -> bool:
            if record.key == key:
                cancelled.cancel()
            return False

        with pytest.raises(Cancelled):
            engine.rerun(place(first, "model.layers.1.mlp"), cancelled)
        assert [module for _, module in engine.runnable.built.module.named_modules()] == modules
        # What it recorded can be taken up once more, also where it ended.
        left = engine._past
        assert left is not None
        last = left.recorder.trace.records[-1]
        again = rerun(engine, last.key)
        assert engine._past is not None
        assert engine._past.cut.taken
        np.testing.assert_array_equal(again["logits"], first["logits"])
        np.testing.assert_array_equal(again["logits@3"], first["logits@3"])


def test_an_error_in_the_middle_restores_the_list() -> None:
    with made(recipe()) as engine:
        first = engine.run(texts(PROMPT), gate())
        broken = engine.runnable.built.module.get_submodule("model.layers.2.mlp")
        handle = broken.register_forward_pre_hook(fail)
        with pytest.raises(ModelError, match="failed: ZeroDivisionError"):
            engine.rerun(place(first, "model.layers.2.self_attn"), gate())
        handle.remove()
        layers = engine.runnable.built.module.get_submodule("model.layers").children()
        assert not any(isinstance(layer, RecordedLayer) for layer in layers)
        np.testing.assert_array_equal(rerun(engine, "model.layers.2:input")["logits"], first["logits"])


def fail(module: nn.Module, args: object) -> None:
    raise ZeroDivisionError


def test_without_a_run_or_such_a_record_it_is_refused() -> None:
    with made(recipe()) as engine:
        with pytest.raises(InputError, match="run a prompt first"):
            engine.rerun(0, gate())
        engine.run(texts(PROMPT), gate())
        with pytest.raises(InputError, match="no record 9999"):
            engine.rerun(9999, gate())


def test_a_run_taken_up_again_goes_on_generating() -> None:
    of = recipe(generation=replace(GREEDY, count=2), prompts=Prompts(ids=((5, 8, 299, 3),)))
    with made(of) as engine:
        engine.run(of.prompts, gate())
        rerun(engine, "model.layers.1@1", "layers.1.mlp: scale 3")
        longer = engine.generate(2, Gate(edits=engine._past.edits if engine._past else None))
        third = rerun(engine, "model.layers.2@3", "layers.1.mlp: scale 3", "layers.2 pass 3: zero")
    for trace in (longer, third):
        again = trace_recipe(replace(of, generation=GREEDY, edits=edits_of(trace, "")))
        assert [token.id for token in trace.tokens[0]] == [token.id for token in again.tokens[0]]
        np.testing.assert_array_equal(trace["logits@3"], again["logits@3"])
    assert not third["model.layers.2@3"].any()


def test_live_it_stops_where_it_is_told_and_the_model_that_waited_is_left() -> None:
    with driven() as driver:
        driver.session.start(texts(PROMPT), until("model.layers.2"))
        driver.wait(Stopped)
        trace = driver.trace
        assert trace is not None
        at = place(trace, "model.layers.1.mlp")
        driver.session.rerun(at, parse_edits(["layers.1.mlp: scale 3"], ""), until("model.layers.1.mlp"))
        assert driver.wait(Finished).cancelled
        begun = driver.wait(Started)
        assert len(begun.trace) >= begun.cut.record == place(trace, "model.layers.0") + 1
        assert driver.wait(Stopped).frontier == at + 2
        assert begun.trace.records[-1].edited
        np.testing.assert_array_equal(begun.trace["model.layers.1.mlp"], trace["model.layers.1.mlp"] * 3)
        driver.session.advance(until_end)
        ended = driver.wait(Finished).trace
    again = trace_recipe(recipe(edits=edits_of(ended, "")), PROMPT)
    np.testing.assert_array_equal(ended["logits"], again["logits"])
    assert ended.complete


def test_what_a_module_was_given_is_told_also_where_it_fails_behind_the_cut() -> None:
    with driven() as driver:
        driver.session.start(texts(PROMPT), until_end)
        whole = driver.wait(Finished).trace
        assert driver.session._engine is not None
        embedding = driver.session._engine.runnable.built.module.get_submodule("model.embed_tokens")

        def fail(*_: object) -> None:
            raise ValueError("planted")

        handle = embedding.register_forward_hook(fail)
        driver.session.rerun(place(whole, "model.layers.2"), (), until_end)
        failed = failed_run(driver)
        handle.remove()
    assert failed.fault.path == "model.embed_tokens"
    assert failed.fault.inputs
    assert failed.trace.records[failed.fault.at].site == "model.embed_tokens:input"
    assert failed.fault.at == place(whole, "model.layers.1") + 1


def failed_run(driver: Driver) -> Failed:
    while not isinstance(event := driver.events.get(timeout=30), Failed):
        pass
    return event


def until(key: str) -> Callable[[Record], bool]:
    return lambda record: record.key == key


def test_an_edit_of_probabilities_has_its_layer_computed_step_by_step_and_the_rest_is_the_same(tmp_path: Path) -> None:
    of, edit = recipe(generation=replace(GREEDY, count=2)), "layers.1.self_attn:probs head 1: zero"
    with made(of) as engine:
        engine.run(of.prompts, gate())
        edited = rerun(engine, "model.layers.1", edit)
    assert not edited["model.layers.1.self_attn:probs"][:, 1].any()
    assert "model.layers.0.self_attn:probs" not in edited
    same(edited, trace_recipe(replace(of, edits=edits_of(edited, ""))), tmp_path)


def test_a_run_taken_up_again_looks_at_no_module_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def anew(*given: object) -> object:
        raise AssertionError("the model is as it was")

    with made(of_family("mixtral", tmp_path)) as engine:
        first = engine.run(engine.runnable.recipe.prompts, gate())
        monkeypatch.setattr(KnownModel, "__init__", anew)
        monkeypatch.setattr(ModuleSite, "of", anew)
        monkeypatch.setattr("tracetui.models.memory.recorded._widths", anew)
        same(first, engine.rerun(place(first, "model.layers.1"), gate()), tmp_path)
        same(first, engine.run(engine.runnable.recipe.prompts, gate()), tmp_path)
