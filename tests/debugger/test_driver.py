"""The debugger's rules without a screen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ui.fake import PLAN, FakeSession
from tests.ui.tiny_llama import PROMPT, empty_recorder, forward
from tracetui.debugger.driver import Driver
from tracetui.debugger.no_step import NOTHING_YET
from tracetui.debugger.recorded_session import RecordedSession
from tracetui.debugger.session import Advanced, Event, Failed, Finished, Fired, Preparing, Started, Stopped
from tracetui.debugger.state import NO_RECORD, Phase, ScreenState, moved, token_moved
from tracetui.debugger.state_events import after
from tracetui.debugger.waiting import MOST_WAITING, WaitingSteps
from tracetui.expr.stop import parse_stop
from tracetui.expr.watcher import Hit
from tracetui.recipe import Prompts, texts
from tracetui.recording.stepping import Step, Target
from tracetui.recording.trace import EMPTY_TRACE


def driver(hold: bool = False) -> tuple[Driver, FakeSession]:
    """A driver whose session's events reach it at once."""
    found = Driver()
    session = FakeSession(found.heard, hold=hold)
    found.opened(session)
    return found, session


def test_every_record_is_reached_by_stepping_into() -> None:
    found, _ = driver()
    found.run(texts(PROMPT))
    seen = [found.state.record.index]
    while not found.step(Step.INTO):
        seen.append(found.state.record.index)
    assert seen == [*range(43), 42], "the last step finishes the run and stays at its last record"
    assert found.state.phase is Phase.FINISHED


def test_steps_asked_for_before_the_model_is_prepared_are_taken_as_soon_as_there_are_records() -> None:
    early = Driver()
    assert early.step(Step.INTO) == NOTHING_YET, "no prompt was given"
    early.run(texts(PROMPT))
    assert [early.step(Step.INTO) for _ in range(3)] == ["", "", ""]
    assert early.state.waiting == 3
    early.opened(FakeSession(early.heard))
    assert early.state.record.index == 3
    assert early.state.waiting == 0


def test_steps_over_a_recording_wait_until_it_is_open() -> None:
    early = Driver(recording=True)
    assert early.step(Step.INTO) == early.step(Step.INTO) == ""
    recorder = empty_recorder()
    list(forward(recorder))
    early.opened(RecordedSession(recorder.trace, early.heard))
    assert early.state.waiting == 0
    assert early.state.cursor == 1, "from the whole, the first step leads to the first record"


@pytest.mark.parametrize(
    ("step", "cursor"), [(Step.INTO, 0), (Step.OVER, 0), (Step.OUT, 0), (Step.LAYER, 0), (Step.END, 42)]
)
def test_from_a_recording_as_a_whole_steps_begin_at_its_first_record(step: Step, cursor: int) -> None:
    recorder = empty_recorder()
    list(forward(recorder))
    found = Driver(recording=True)
    found.opened(RecordedSession(recorder.trace, found.heard))
    assert (found.state.overview, found.state.cursor) == (True, 42)
    assert found.step(step) == ""
    assert (found.state.overview, found.state.cursor) == (False, cursor)


def test_what_fills_an_empty_pane_is_recorded_later_or_run_for() -> None:
    live, _ = driver()
    live.run(texts(PROMPT))
    for _ in range(2):
        assert live.until(lambda record: record.role == "q", "none") == ""
        assert live.state.record.role == "q"
        live.jump(0)


def test_another_prompt_given_before_the_model_is_prepared_drops_the_steps_that_wait() -> None:
    early = Driver()
    early.run(texts("one"))
    early.step(Step.END)
    early.run(texts(PROMPT))
    early.opened(session := FakeSession(early.heard))
    assert session.prompts == [PROMPT]
    assert early.state.record.index == 0


@pytest.mark.parametrize("step", [Step.INTO, Step.OVER, Step.OUT, Step.LAYER])
def test_a_step_means_the_same_at_the_frontier_and_behind_it(step: Step) -> None:
    """From each record: where the model stops is where the cursor goes over the finished trace."""
    finished, _ = driver()
    finished.run(texts(PROMPT))
    finished.step(Step.END)
    for start in range(0, 43, 3):
        live, _ = driver()
        live.run(texts(PROMPT))
        for _ in range(start):
            live.step(Step.INTO)
        live.step(step)
        finished.jump(start)
        finished.step(step)
        assert live.state.cursor in (finished.state.cursor, 42)


def test_a_step_out_from_behind_the_frontier_may_need_the_model() -> None:
    found, session = driver()
    found.run(texts(PROMPT))
    for _ in range(5):
        found.step(Step.INTO)
    found.jump(3)
    found.step(Step.OUT)
    assert session.calls.count("advance") == 6
    assert found.state.record.site == "model.layers.0.self_attn"


class Counting(FakeSession):
    """Counts its runs, and says nothing of its own."""

    runs = 0

    def start(self, prompts: Prompts, until: Target) -> int:
        self.runs += 1
        return self.runs


def test_what_an_earlier_run_still_says_is_not_taken_for_the_new_one() -> None:
    found = Driver()
    session = Counting(found.heard)
    found.opened(session)
    trace = empty_recorder().trace
    found.run(texts(PROMPT))
    found.run(texts(PROMPT))
    found.step(Step.INTO)
    said: list[Event] = [
        Started(trace, PLAN, number=1),
        Stopped(1),
        Fired(()),
        Failed("no", number=1),
        Finished(trace, True, 1),
    ]
    for event in said:
        found.heard(event)
        assert (found.state.phase, found.state.waiting) == (Phase.STARTING, 1)
    found.heard(Started(trace, PLAN, number=2))
    assert found.state.phase is Phase.RUNNING


def test_a_stop_that_held_while_another_run_was_asked_for_is_known_if_that_one_never_begins() -> None:
    stop = parse_stop("*", "here")
    found = Driver((stop,))
    session = Counting(found.heard)
    found.opened(session)
    trace = empty_recorder().trace
    found.run(texts(PROMPT))
    found.heard(Started(trace, PLAN, number=1))
    found.run(texts(PROMPT))
    found.heard(Fired((Hit(stop, 5),)))
    found.heard(Failed("no", number=2))
    entry = found.state.stops.find("*")
    assert entry is not None
    assert entry.places == (5,)


def test_a_run_that_began_after_another_was_asked_for_is_on_view_if_that_one_never_begins() -> None:
    found = Driver()
    session = Counting(found.heard)
    found.opened(session)
    first, second = empty_recorder().trace, empty_recorder().trace
    found.run(texts(PROMPT))
    found.heard(Started(first, PLAN, number=1))
    found.heard(Finished(first, number=1))
    found.run(texts(PROMPT))
    found.run(texts(PROMPT))
    found.heard(Started(second, PLAN, number=2))
    phases = [found.state.phase]
    found.heard(Finished(EMPTY_TRACE, True, number=3))
    phases.append(found.state.phase)
    assert phases == [Phase.STARTING, Phase.CANCELLED]
    assert found.state.trace is second


def test_nothing_to_step_over_is_said() -> None:
    found, session = driver()
    assert "nothing is recorded" in found.step(Step.OVER)
    assert "nothing is recorded" in found.back()
    assert session.calls == []


def test_a_running_model_is_not_asked_twice() -> None:
    """Steps wait for it to stop, and there is an end to how many."""
    found, session = driver(hold=True)
    found.run(texts(PROMPT))
    session.let_go()
    answers = [found.step(Step.INTO) for _ in range(1 + MOST_WAITING + 3)]
    assert answers[: MOST_WAITING + 1] == [""] * (MOST_WAITING + 1)
    assert all("wait already" in answer for answer in answers[MOST_WAITING + 1 :])
    assert session.calls == ["start", "advance"]
    for _ in range(8):
        session.let_go()
    assert (found.state.cursor, found.state.waiting) == (8, MOST_WAITING - 8)


@pytest.mark.parametrize("drop", [Driver.cancel, Driver.pause, Driver.drop_waiting, Driver.first])
def test_steps_that_wait_can_be_dropped(drop: Callable[[Driver], object]) -> None:
    found, session = driver(hold=True)
    found.run(texts(PROMPT))
    session.let_go()
    for _ in range(5):
        found.step(Step.INTO)
    drop(found)
    session.let_go()
    assert (found.state.frontier, found.state.waiting) == (1 if drop is Driver.cancel else found.state.frontier, 0)
    assert session.calls.count("advance") == 1


def test_running_on_to_the_end_replaces_the_steps_that_wait() -> None:
    found, session = driver(hold=True)
    found.run(texts(PROMPT))
    session.let_go()
    for step in (Step.INTO, Step.INTO, Step.INTO, Step.END):
        found.step(step)
    session.let_go()
    assert "to the end" in found.step(Step.INTO)
    session.let_go()
    assert found.state.phase is Phase.FINISHED


def test_a_step_by_layer_stays_where_no_layer_has_the_place() -> None:
    found, session = driver()
    found.run(texts(PROMPT))
    for _ in range(3):
        found.step(Step.INTO)
    first = found.state.record.site
    assert found.layer_back() == "this is the first layer"
    assert found.step(Step.LAYER) == ""
    last, calls = found.state.record.site, len(session.calls)
    assert (first, last) == ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj")
    assert found.step(Step.LAYER) == "this is the last layer"
    assert (found.state.record.site, len(session.calls)) == (last, calls)
    found.step(Step.END)
    found.jump(next(record.index for record in found.state.trace.records if record.site == last))
    assert found.step(Step.LAYER) == "this is the last layer"
    assert found.state.record.site == last
    assert found.layer_back() == ""
    assert found.state.record.site == first


def test_the_first_record_is_said_to_be_the_first() -> None:
    found, _ = driver()
    found.run(texts(PROMPT))
    assert found.back() == "this is the first record"


def test_cancelling_is_said_once_for_each_run() -> None:
    found, session = driver(hold=True)
    assert not found.cancel()
    found.run(texts(PROMPT))
    assert found.cancel()
    assert not found.cancel()
    found.run(texts(PROMPT))
    assert found.cancel()
    assert session.calls == ["start", "cancel", "start", "cancel"]


def test_a_cancelled_pending_prompt_does_not_run() -> None:
    found = Driver()
    found.run(texts(PROMPT))
    found.cancel()
    session = FakeSession(found.heard)
    found.opened(session)
    assert session.calls == []


def test_a_new_run_resets_what_belongs_to_the_old_one() -> None:
    found, _ = driver()
    found.run(texts(PROMPT))
    found.step(Step.END)
    found.state = token_moved(found.state, 3)
    found.run(texts("two words"))
    assert (found.state.cursor, found.state.frontier, found.state.token, found.state.error) == (0, 1, -1, "")


@pytest.mark.parametrize(
    "event", [Preparing("x"), Stopped(0), Advanced(0), Finished(empty_recorder().trace), Failed("no")]
)
def test_no_event_is_out_of_place(event: Event) -> None:
    """Whatever arrives first, the state can be shown."""
    state = after(ScreenState(), event)
    assert state.record is NO_RECORD
    assert after(state, Started(empty_recorder().trace, PLAN)).phase is Phase.RUNNING


def test_the_cursor_stays_within_what_is_recorded() -> None:
    found, _ = driver()
    found.run(texts(PROMPT))
    found.step(Step.LAYER)
    frontier = found.state.frontier
    assert [moved(found.state, to).cursor for to in (-5, 0, frontier - 1, frontier, 999)] == [
        0,
        0,
        frontier - 1,
        frontier - 1,
        frontier - 1,
    ]


def test_the_token_cursor_enters_at_the_end_it_comes_from() -> None:
    found, _ = driver()
    found.run(texts(PROMPT))
    assert token_moved(found.state, 1).token == 0
    assert token_moved(found.state, -1).token == 16
    assert token_moved(token_moved(found.state, -1), 1).token == 16
    assert token_moved(ScreenState(), 1).token == -1


def test_steps_wait_in_order_unless_the_end_is_run_to() -> None:
    waiting = WaitingSteps()
    waiting.repeat(Step.INTO, 3)
    assert waiting.add(Step.END) == ""
    assert list(waiting) == [Step.END]
    waiting.to_the_end = True
    assert "runs on to the end" in waiting.add(Step.INTO)
    assert waiting.next() is Step.END
    assert not len(waiting)
