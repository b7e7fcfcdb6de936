"""Stops on the model's thread: the model really waits, and a planted fault is hunted down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from tests.tracer.recipes import recipe
from tests.tracer.test_live import PROMPT, Driver, driven
from tracetui.analysis.health.diagnosis import HealthPart, diagnose
from tracetui.debugger.session import Event, Finished, Fired, Started, Stopped, Tallied, until_end
from tracetui.expr.stop import DEFAULT_STOPS, parse_stop
from tracetui.expr.watcher import Hit, StopEvaluator, Tally
from tracetui.recipe import Layers, Prompts, texts
from tracetui.recording.keep import parse_keep
from tracetui.recording.trace import Trace
from tracetui.tracer.capture.statistics import is_finite
from tracetui.tracer.capture.values import TorchValue
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.run import trace_recipe

DEEP = {"num_hidden_layers": 6}


def next_stop(driver: Driver) -> tuple[tuple[Hit, ...], int] | None:
    """What fired and how far the model is, or None at the end."""
    hits: tuple[Hit, ...] = ()
    while True:
        event = driver.events.get(timeout=30)
        if isinstance(event, Started):
            driver.trace = event.trace
        if isinstance(event, Fired):
            hits = event.hits
        if isinstance(event, Stopped):
            return hits, event.frontier
        if isinstance(event, Finished):
            driver.trace = event.trace
            return None


def test_a_run_that_stops_at_layer_two_has_computed_nothing_of_layer_three() -> None:
    with driven(recipe(config=DEEP, layers=Layers(0, 6))) as driver:
        driver.session.stop_at((parse_stop("layers.2"), parse_stop("layers.4.mlp if norm > 0")))
        driver.session.start(texts(PROMPT), until_end)
        reached = next_stop(driver)
        assert reached is not None
        hits, frontier = reached
        trace = driver.trace
        assert trace is not None
        assert [hit.stop.text for hit in hits] == ["layers.2"]
        assert trace.records[frontier - 1].site == "model.layers.2"
        assert len(trace.records) == frontier
        assert {record.layer for record in trace.records} == {None, 0, 1, 2}
        driver.session.advance(until_end)
        reached = next_stop(driver)
        assert reached is not None
        assert reached[0][0].told == (("norm", trace.statistics(trace.records[-1]).l2),)
        assert trace.records[-1].site == "model.layers.4.mlp"
        driver.session.advance(until_end)
        assert next_stop(driver) is None


def test_stops_given_while_the_model_waits_hold_from_the_next_record_on() -> None:
    with driven() as driver:
        driver.begin()
        driver.session.stop_at((parse_stop("*.q_proj"),))
        driver.session.advance(until_end)
        reached = next_stop(driver)
        assert reached is not None
        driver.session.stop_at(())
        driver.session.advance(until_end)
        assert next_stop(driver) is None


@pytest.mark.parametrize(
    "text",
    [
        "*.mlp",
        "layers.? if norm > prev.norm",
        "* if absmax > 0.5 and numel > 100",
        "*.self_attn if entropy(head=1) > 0.5",
        "value[0,-1,3] > 0.1",
    ],
)
def test_a_stop_means_the_same_at_the_frontier_and_behind_it(text: str) -> None:
    """What fires while the model runs is what is found in the finished trace."""
    fired: list[Hit] = []
    tallies: list[Tally] = []

    def hear(event: Event) -> None:
        if isinstance(event, Fired):
            fired.extend(event.hits)
        if isinstance(event, Tallied):
            tallies.extend(event.tallies)

    stop = parse_stop(text)
    trace = trace_recipe(recipe(), PROMPT, emit=hear, stops=(stop,))
    watcher = StopEvaluator(trace, (stop,))
    assert [hit for record in trace.records for hit in watcher.look(record)] == fired
    assert fired
    assert watcher.tallies == tuple(tallies)


@contextmanager
def planted(path: str, fault: Callable[[torch.Tensor], torch.Tensor], **fields: Any) -> Iterator[Engine]:
    """An engine whose module at a path returns what the fault makes of its output."""
    engine = Engine(recipe(**fields))
    module = engine.runnable.built.module.get_submodule(path)
    handle = module.register_forward_hook(lambda module, args, output: fault(output))
    try:
        yield engine
    finally:
        handle.remove()
        engine.close()


def hunted(engine: Engine, *stops: str) -> tuple[Trace, list[Hit]]:
    fired: list[Hit] = []

    def hear(event: Event) -> None:
        if isinstance(event, Fired):
            fired.extend(event.hits)

    given = tuple(map(parse_stop, stops)) or DEFAULT_STOPS
    return engine.run(texts(PROMPT), Gate(emit=hear, stops=given, waits=False)), fired


def with_nan(output: torch.Tensor) -> torch.Tensor:
    output = output.clone()
    output[0, 2, 7] = torch.nan
    return output


@pytest.mark.parametrize("path", ["model.layers.1.self_attn.k_proj", "model.layers.2.mlp.up_proj", "model.norm"])
def test_a_planted_nan_is_found_where_it_was_planted(path: str) -> None:
    with planted(path, with_nan) as engine:
        trace, fired = hunted(engine)
    assert [(hit.stop.text, trace.records[hit.index].site) for hit in fired] == [("nan", path)]
    assert any(np.isnan(trace["logits"]).ravel())
    for record in (trace.records[fired[0].index], trace.records[-1]):
        found = diagnose(trace, record)
        assert [one.record.site for one in found.producers] == [path]
        assert found.producers[0].part is HealthPart.PRODUCES
        assert found.elements is not None
        assert found.elements.first[0][0] == (0, 2, 7)


def test_a_norm_that_explodes_is_found_where_it_grows() -> None:
    with planted("model.layers.1.mlp.down_proj", lambda output: output * 3e4) as engine:
        trace, fired = hunted(engine, "layers.? if norm > 100 * prev.norm", "nan")
    assert [trace.records[hit.index].site for hit in fired] == ["model.layers.1"]
    frames = {frame.record.site_in_layer: frame for frame in diagnose(trace, trace.records[fired[0].index]).frames}
    worst = max(frames, key=lambda place: frames[place].growth or 0)
    assert worst == ".mlp.down_proj"


def test_a_healthy_model_has_nothing_to_report_in_any_dtype() -> None:
    for dtype in ("float32", "bfloat16", "float16"):
        engine = Engine(recipe(dtype=dtype))
        assert hunted(engine)[1] == []
        engine.close()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float8_e5m2, torch.float64])
@pytest.mark.parametrize("bad", [None, torch.nan, torch.inf, -torch.inf])
def test_the_quick_test_for_finite_values_is_right(dtype: torch.dtype, bad: float | None) -> None:
    largest = torch.finfo(dtype).max
    for values in (torch.linspace(-3, 3, 1200), torch.full((1200,), largest, dtype=torch.float64)):
        tensor = values.to(dtype).reshape(30, 40).clone()
        if bad is not None:
            tensor[17, 3] = bad
        assert is_finite(tensor) is (bad is None)
        assert is_finite(tensor.t()) is (bad is None)
        assert TorchValue(tensor).all_finite() is (bad is None)
    assert is_finite(torch.arange(5))
    assert is_finite(torch.empty(0))


def test_looking_for_stops_is_not_the_models_time() -> None:
    """A condition that takes long doesn't show in any module's seconds."""
    gate = Gate(stops=(parse_stop("* if norm > 0"),), waits=False)
    engine = Engine(recipe())
    engine.run(Prompts(ids=((1, 2, 3),)), gate)
    engine.close()
    assert gate.waited > 0
    assert gate.tallies[0].fired > 0


def test_cancelling_at_a_stop_leaves_the_run() -> None:
    with driven() as driver:
        driver.session.stop_at((parse_stop("layers.1.mlp"),))
        driver.session.start(texts(PROMPT), until_end)
        assert next_stop(driver) is not None
        driver.session.cancel()
        assert driver.wait(Finished).cancelled


def test_a_stop_that_asks_for_values_that_are_not_kept_is_said_to() -> None:
    tallies: list[Tally] = []

    def hear(event: Event) -> None:
        if isinstance(event, Tallied):
            tallies.extend(event.tallies)

    kept = parse_keep(["stats"], "--keep")
    trace_recipe(recipe(keep=kept), PROMPT, emit=hear, stops=(parse_stop("layers.1 if value[0,0,0] > 1"),))
    assert "not kept" in tallies[0].untold
