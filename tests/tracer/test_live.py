"""The session's thread: stepping, pausing, cancelling, failing, and always an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from typing import TypeVar

import numpy as np
import pytest

from tests.tracer.recipes import recipe
from tracetui.analysis.prediction import next_tokens
from tracetui.debugger.session import (
    Event,
    Explained,
    Failed,
    Finished,
    Prepared,
    Preview,
    Started,
    Stopped,
    until_end,
    until_first,
)
from tracetui.recipe import Prompts, Recipe, texts
from tracetui.recording.stepping import Step, ahead, target
from tracetui.recording.trace import Trace
from tracetui.tracer.engine import Engine
from tracetui.tracer.live import LiveSession
from tracetui.tracer.run import trace_recipe

E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Event)
PROMPT = "the answer to"


class Driver:
    """A session and the events that come from it."""

    def __init__(self, of: Recipe) -> None:
        self.events: Queue[Event] = Queue()
        self.session = LiveSession(of, self.events.put)
        self.trace: Trace | None = None

    def wait(self, kind: type[E]) -> E:
        """The next event of a kind; others on the way are passed over. A failure nobody waits for is one."""
        return self.wait_for_either(kind, kind)

    def wait_for_either(self, one: type[E], other: type[F]) -> E | F:
        while True:
            try:
                event = self.events.get(timeout=30)
            except Empty:
                pytest.fail(f"neither {one} nor {other} within 30 s")
            if isinstance(event, Started):
                self.trace = event.trace
            if isinstance(event, one | other):
                return event
            if isinstance(event, Failed):
                pytest.fail(event.error)

    def begin(self) -> Stopped:
        self.session.start(texts(PROMPT), until_first)
        return self.wait(Stopped)


@contextmanager
def driven(of: Recipe | None = None) -> Iterator[Driver]:
    driver = Driver(of or recipe())
    yield driver
    assert driver.session.close(20)


@pytest.mark.parametrize("step", [Step.INTO, Step.OVER, Step.OUT, Step.LAYER])
def test_stepping_to_the_end_stops_where_the_recorded_trace_says_and_changes_no_value(step: Step) -> None:
    reference = trace_recipe(recipe(), PROMPT)
    with driven() as driver:
        driver.begin()
        cursor, stops = 0, [0]
        while True:
            assert driver.trace is not None
            driver.session.advance(target(step, driver.trace.records[cursor]))
            event = driver.wait_for_either(Stopped, Finished)
            if isinstance(event, Finished):
                break
            assert len(driver.trace.records) == event.frontier, "the model has gone on"
            cursor = event.frontier - 1
            stops.append(cursor)
        expected = [0]
        while (found := ahead(reference.records, expected[-1], step)) is not None:
            expected.append(found)
        assert stops == expected
        for record in reference.records:
            np.testing.assert_array_equal(event.trace[record.key], reference[record.key])


def test_a_waiting_model_has_computed_nothing_further() -> None:
    with driven(recipe(memory=0)) as driver:
        stopped = driver.begin()
        time.sleep(0.2)
        assert driver.trace is not None
        assert stopped.frontier == len(driver.trace.records) == 1


def test_a_run_is_told_complete_only_at_its_end() -> None:
    with driven() as driver:
        driver.begin()
        assert driver.trace is not None
        assert not driver.trace.complete
        driver.session.advance(until_end)
        assert driver.wait(Finished).trace.complete


def test_cancelling_a_waiting_run_keeps_what_was_recorded() -> None:
    with driven() as driver:
        driver.begin()
        driver.session.advance(lambda record: record.site == "model.layers.1")
        driver.wait(Stopped)
        driver.session.cancel()
        finished = driver.wait(Finished)
        assert finished.cancelled
        assert not finished.trace.complete
        assert finished.trace.records[-1].site == "model.layers.1"
        assert len(finished.trace.values) == len(finished.trace.records)


def test_a_new_prompt_cancels_the_run_that_waits_and_gives_its_own_result() -> None:
    with driven() as driver:
        driver.begin()
        driver.session.start(texts("another prompt"), until_end)
        assert driver.wait(Finished).cancelled
        finished = driver.wait(Finished)
        assert not finished.cancelled
        np.testing.assert_array_equal(finished.trace["logits"], trace_recipe(recipe(), "another prompt")["logits"])


def test_of_many_prompts_at_once_the_last_one_is_run_to_its_end() -> None:
    with driven() as driver:
        for word in ("one", "two", "three", "four"):
            driver.session.start(texts(word), until_end)
        while (finished := driver.wait(Finished)).cancelled:
            pass
        assert finished.trace.run.recipe["prompt"] == "four"


def test_pausing_stops_at_the_next_record() -> None:
    with driven() as driver:
        gone_far = threading.Event()

        def until(record: object) -> bool:
            gone_far.set()
            time.sleep(0.01)
            return False

        driver.session.start(texts(PROMPT), until)
        assert gone_far.wait(30)
        driver.session.pause()
        assert driver.wait(Stopped).frontier < 60


def test_pausing_right_after_letting_go_stops_at_the_next_record() -> None:
    with driven() as driver:
        driver.begin()
        driver.session.advance(until_end)
        driver.session.pause()
        event = driver.wait_for_either(Stopped, Finished)
        assert isinstance(event, Finished) or event.frontier > 1


def test_a_prompt_cancelled_before_it_began_is_told_as_cancelled() -> None:
    with driven() as driver:
        driver.begin()
        driver.session.start(texts("another"), until_end)
        driver.session.cancel()
        while (finished := driver.wait(Finished)).trace.records:
            pass
        assert finished.cancelled


def test_the_next_tokens_have_their_text_where_the_model_waits_at_the_logits() -> None:
    with driven() as driver:
        driver.session.start(texts(PROMPT), lambda record: record.site == "logits")
        driver.wait(Stopped)
        assert driver.trace is not None
        waiting = next_tokens(driver.trace, 5)
        assert all(prediction.token.bytes for prediction in waiting if prediction.token.id < 4000)
        driver.session.advance(until_end)
        assert next_tokens(driver.wait(Finished).trace, 5) == waiting


def test_a_prompt_that_is_refused_leaves_the_session_ready() -> None:
    with driven() as driver:
        driver.session.start(texts(""), until_end)
        assert "empty" in driver.wait(Failed).error
        driver.session.start(texts(PROMPT), until_end)
        assert driver.wait(Finished).trace.complete


def test_a_recipe_that_cannot_be_built_is_told_and_the_thread_ends() -> None:
    with driven(recipe(config={"model_type": "no-such-model"})) as driver:
        assert "no-such-model" in driver.wait(Failed).error


@pytest.mark.parametrize("error", [RuntimeError("boom\x1b[2J"), SystemExit(3), MemoryError()])
def test_whatever_the_model_raises_is_told_with_a_log_and_the_session_lives(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driven() as driver:
        driver.wait(Prepared)
        with monkeypatch.context() as patch:

            def fails(*args: object) -> None:
                raise error

            patch.setattr(Engine, "run", fails)
            driver.session.start(texts(PROMPT), until_end)
            failed = driver.wait(Failed)
        assert "\x1b" not in failed.error
        assert failed.log.endswith(".log")
        driver.session.start(texts(PROMPT), until_end)
        assert driver.wait(Finished).trace.complete


@pytest.mark.parametrize("error", [RuntimeError("boom\x1b[2J"), SystemExit(3), MemoryError()])
def test_whatever_typing_a_prompt_raises_is_told_and_the_session_lives(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driven() as driver:
        driver.wait(Prepared)
        with monkeypatch.context() as patch:

            def fails(*args: object) -> None:
                raise error

            patch.setattr(Engine, "preview", fails)
            driver.session.preview(texts("one"))
            found = driver.wait(Preview)
        assert (found.prompts, found.rows) == (texts("one"), ())
        assert found.problem.startswith(type(error).__name__)
        assert found.problem.endswith(".log")
        assert "\x1b" not in found.problem
        driver.session.start(texts(PROMPT), until_end)
        assert driver.wait(Finished).trace.complete


def test_more_tokens_asked_for_while_a_run_waits_leave_it_within_reach() -> None:
    ids = Prompts(ids=((5, 8, 299),))
    with driven() as driver:
        driver.session.start(ids, until_first)
        driver.wait(Stopped)
        driver.session.generate(2, until_end)
        driver.session.generate(1, until_end)
        driver.session.advance(until_end)
        generated = [driver.wait(Finished).trace.generated for _ in range(3)]
        assert generated == [(), (2,), (3,)]
        driver.session.start(ids, until_first)
        driver.wait(Stopped)
        driver.session.generate(2, until_end)
        driver.session.cancel()
        assert driver.wait(Finished).cancelled


def test_tokens_cancelled_before_the_first_leave_the_run_as_it_ended() -> None:
    told: Queue[Event] = Queue()
    asked = threading.Event()

    def hear(event: Event) -> None:
        told.put(event)
        if isinstance(event, Finished):
            # On the model's thread: it can't begin with anything before this is over.
            assert asked.wait(30)

    def ended() -> Finished:
        while not isinstance(event := told.get(timeout=30), Finished):
            pass
        return event

    session = LiveSession(recipe(), hear)
    session.start(Prompts(ids=((5, 8, 299),)), until_end)
    first = ended()
    session.generate(2, until_end)
    session.cancel()
    asked.set()
    left = ended()
    assert (len(left.trace), left.cancelled, left.number) == (len(first.trace), False, first.number)
    session.generate(2, until_end)
    assert ended().trace.generated == (2,)
    assert session.close(20)


def test_tokens_cancelled_behind_a_run_that_failed_leave_it_failed() -> None:
    told: Queue[Event] = Queue()
    asked = threading.Event()

    def hear(event: Event) -> None:
        if not isinstance(event, Prepared | Failed | Finished):
            return
        told.put(event)
        if not isinstance(event, Prepared):
            assert asked.wait(30)

    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    session = LiveSession(recipe(), hear)
    assert isinstance(told.get(timeout=60), Prepared)
    assert session._engine is not None
    session._engine.runnable.built.module.register_forward_hook(fail)
    session.start(Prompts(ids=((5, 8, 299),)), until_end)
    first = told.get(timeout=30)
    session.generate(2, until_end)
    session.cancel()
    asked.set()
    assert isinstance(first, Failed)
    assert told.get(timeout=30) is first
    assert session.close(20)


def test_every_run_ends_under_the_number_that_its_start_returned() -> None:
    with driven() as driver:
        numbers = [driver.session.start(texts(word), until_end) for word in ("one", "two", "three")]
        while (finished := driver.wait(Finished)).number != numbers[-1]:
            assert finished.cancelled
            assert finished.number in numbers
        assert len(set(numbers)) == 3
        number = driver.session.start(texts(""), until_end)
        assert driver.wait(Failed).number == number


def test_closing_ends_the_thread_from_every_state() -> None:
    for ready in (False, True):
        driver = Driver(recipe())
        if ready:
            driver.begin()
        assert driver.session.close(30)
        assert not driver.session._thread.is_alive()


def test_the_configuration_is_explained_before_while_and_after_a_model_waits_and_the_run_stays_the_same() -> None:
    reference = trace_recipe(recipe(), PROMPT)
    with driven() as driver:
        driver.session.explain()
        first = driver.wait(Explained).report
        driver.begin()
        driver.session.advance(lambda record: record.index == 9)
        driver.wait(Stopped)
        driver.session.explain()
        second = driver.wait(Explained).report
        driver.session.advance(until_end)
        finished = driver.wait(Finished).trace
        driver.session.explain()
        assert first == second == driver.wait(Explained).report
        assert first is not None
        assert {field.name for field in first.fields} >= set(recipe().config)
        assert driver.session.close(20)
        assert not [event for event in iter_events(driver.events) if isinstance(event, Explained)]
    for record in reference.records:
        np.testing.assert_array_equal(finished[record.key], reference[record.key], err_msg=record.key)


def iter_events(events: Queue[Event]) -> Iterator[Event]:
    while not events.empty():
        yield events.get()


def test_a_configuration_that_cannot_be_explained_says_why() -> None:
    broken = recipe(config={"hidden_act": "wheee"})
    events: Queue[Event] = Queue()
    session = LiveSession(broken, events.put)
    session.explain()
    while not isinstance(event := events.get(timeout=30), Explained):
        pass
    assert event.report is None
    assert "wheee" in event.error
    assert session.close(20)


def test_what_is_typed_is_worked_out_and_only_the_newest_counts() -> None:
    with driven() as driver:
        prepared = driver.wait(Prepared)
        assert prepared.preview.rows[0].text == recipe().prompt
        for word in ("one", "two", "three<|end_of_text|>", ""):
            driver.session.preview(texts(word))
        found = driver.wait(Preview)
        while found.prompts != texts(""):
            found = driver.wait(Preview)
        assert (found.rows, found.problem) == ((), "prompt: is empty; type some text")
        driver.session.preview(texts("three<|end_of_text|>"))
        row = driver.wait(Preview).rows[0]
        assert (row.text, row.typed, row.tokens[-1].special) == (
            "three<|end_of_text|>",
            ("<|end_of_text|>",),
            True,
        )
