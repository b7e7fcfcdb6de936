"""Generation in a session: steps from pass to pass at the frontier, a run left in a pass, and one that goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.tracer.recipes import recipe
from tracetui.debugger.session import Event, Extended, Failed, Finished, Started, Stopped, until_end, until_first
from tracetui.recipe import Generation, Prompts, Recipe
from tracetui.recording.record import Record
from tracetui.recording.stepping import Step, target
from tracetui.recording.trace import EMPTY_TRACE, Trace
from tracetui.tracer.live import LiveSession
from tracetui.tracer.run import trace_recipe

SECONDS = 60
PROMPTS = Prompts(ids=((5, 8, 299, 3),))
GREEDY = Generation(4, stop=())


@dataclass
class Heard:
    """What a session has said, and a way to wait for its next rest."""

    events: list[Event] = field(default_factory=list)
    trace: Trace = EMPTY_TRACE
    rested: threading.Event = field(default_factory=threading.Event)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Started | Extended | Finished):
            self.trace = event.trace
        if isinstance(event, Stopped | Finished | Failed):
            self.rested.set()

    def rest(self) -> Event:
        assert self.rested.wait(SECONDS)
        self.rested.clear()
        return next(event for event in reversed(self.events) if isinstance(event, Stopped | Finished | Failed))

    @property
    def newest(self) -> Record:
        return self.trace.records[-1]


def session(of: Recipe) -> tuple[LiveSession, Heard]:
    heard = Heard()
    return LiveSession(of, heard), heard


@pytest.fixture
def stepping() -> Iterator[tuple[LiveSession, Heard]]:
    found, heard = session(recipe(generation=GREEDY, prompts=PROMPTS))
    found.start(PROMPTS, until_first)
    heard.rest()
    yield found, heard
    assert found.close(SECONDS)


def test_steps_at_the_frontier_cross_from_pass_to_pass(stepping: tuple[LiveSession, Heard]) -> None:
    live, heard = stepping
    live.advance(lambda record: record.site == "model.layers.1.self_attn:heads")
    heard.rest()
    for number in (1, 2, 3):
        live.advance(target(Step.LATER, heard.newest))
        heard.rest()
        assert heard.newest.key == f"model.layers.1.self_attn:heads@{number}"
        assert len(heard.trace.tokens[0]) == 4 + number
    live.advance(target(Step.OVER, heard.trace.records[-1]))
    heard.rest()
    assert heard.newest.key == "model.layers.1.self_attn.o_proj@3"
    live.advance(target(Step.LATER, heard.newest))
    assert isinstance(heard.rest(), Finished)
    assert heard.trace.generated == (4,)


def test_a_run_left_in_a_pass_shows_it_as_far_as_it_went(stepping: tuple[LiveSession, Heard]) -> None:
    live, heard = stepping
    live.advance(lambda record: record.key == "model.layers.0.mlp@3")
    heard.rest()
    live.cancel()
    ended = heard.rest()
    assert isinstance(ended, Finished)
    assert ended.cancelled
    assert [heard.trace.generated, heard.newest.key, heard.trace.complete] == [(3,), "model.layers.0.mlp@3", False]
    live.generate(1, until_end)
    refused = heard.rest()
    assert isinstance(refused, Failed)
    assert "left before its end" in refused.error


def test_a_finished_run_goes_on_and_is_what_it_would_have_been_at_once() -> None:
    live, heard = session(recipe(generation=Generation(0, stop=()), prompts=PROMPTS))
    live.start(PROMPTS, until_end)
    heard.rest()
    live.generate(100, until_end)
    refused = heard.rest()
    assert isinstance(refused, Failed)
    assert "the model has 64" in refused.error
    live.generate(2, until_first)
    assert isinstance(heard.rest(), Stopped)
    assert heard.newest.key == "model.embed_tokens@1"
    live.advance(until_end)
    assert isinstance(heard.rest(), Finished)
    live.generate(2, until_end)
    assert isinstance(heard.rest(), Finished)
    assert live.close(SECONDS)
    whole = trace_recipe(recipe(generation=GREEDY, prompts=PROMPTS))
    assert [heard.trace.tokens, heard.trace.cache] == [whole.tokens, whole.cache]
    assert [record.key for record in heard.trace.records] == [record.key for record in whole.records]
    for record in whole.records:
        np.testing.assert_array_equal(heard.trace[record.key], whole[record.key])
