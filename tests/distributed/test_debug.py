"""Ranks in the debugger: the first one holds, and the others wait where Ctrl-C is heard."""

from __future__ import annotations

import contextvars
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.distributed.models import IDS, whole
from tests.distributed.ranks import on_ranks, spoilt, spread
from tracetui.debugger.session import Event, Finished, Remark, Stopped, until_end
from tracetui.errors import InputError
from tracetui.expr.stop import parse_stop
from tracetui.models.given import AS_GIVEN, Inputs, given_model, recipe_of
from tracetui.models.runnable import Runnable
from tracetui.models.tokenizers.given import given_tokenizer
from tracetui.tracer.live import CallerContext, LiveSession
from tracetui.tracer.ranks.debugged import followed, leading_of

Q_PROJ = "model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module", autouse=True)
def _made_before_the_fork() -> None:
    whole("Llama")


def _making(model: Any) -> tuple[Any, Callable[[], Runnable]]:
    recipe = recipe_of("Llama", "a test's")
    return recipe, lambda: given_model(model, recipe, Inputs((IDS,)), given_tokenizer(None, None), torch.no_grad)


class _Screen:
    """Stands for the screen of the first rank: what the session tells, in order."""

    def __init__(self, model: Any) -> None:
        recipe, make = _making(model)
        self.leading = leading_of(model)
        self.events: queue.Queue[Event] = queue.Queue()
        context = CallerContext(make, contextvars.copy_context(), self.leading)
        self.session = LiveSession(recipe, self.events.put, context)
        self.heard: list[Event] = []

    def wait_for(self, kind: type) -> Any:
        while not isinstance(event := self.events.get(timeout=50), kind):
            self.heard.append(event)
        return event

    def leave(self, interrupted: bool = False) -> None:
        self.session.close(None)
        self.leading.ends(interrupted)


def _held(rank: int) -> Any:
    """One run held for a moment, another one left in the middle, and calls before and after."""
    model = spread(whole("Llama"), tp_size=2)
    with torch.no_grad():
        before = model(IDS).logits
        if rank:
            trace = followed(model, _making(model)[1]).trace
        else:
            screen = _Screen(model)
            screen.session.start(AS_GIVEN, lambda record: record.index >= 7)
            stopped = screen.wait_for(Stopped)
            time.sleep(0.3)
            screen.session.advance(until_end)
            trace = screen.wait_for(Finished).trace
            screen.session.start(AS_GIVEN, lambda record: record.site == "model.layers.1")
            screen.wait_for(Stopped)
            screen.session.cancel()
            assert screen.wait_for(Finished).cancelled
            assert stopped.frontier == 8
            screen.leave()
        after = model(IDS).logits
    return len(trace), trace.complete, torch.equal(before, after)


def test_held_and_let_go_the_next_call_is_what_it_was() -> None:
    first, second = on_ranks(2, _held)
    assert first[1:] == (True, True)
    # The last run was left where the first rank left it.
    assert second[1:] == (False, True)
    assert 0 < second[0] < first[0]


def _stopped_elsewhere(rank: int) -> Any:
    model = spread(spoilt(whole("Llama"), f"{Q_PROJ}.weight", (19, 3)), tp_size=2)
    if rank:
        return followed(model, _making(model)[1]).trace.complete
    screen = _Screen(model)
    screen.session.stop_at((parse_stop("nan", once=True),))
    screen.session.start(AS_GIVEN, until_end)
    stopped = screen.wait_for(Stopped)
    site = screen.session.trace.records[stopped.frontier - 1].site
    remarks = [event.text for event in screen.heard if isinstance(event, Remark)]
    screen.session.stop_at(())
    screen.session.advance(until_end)
    screen.wait_for(Finished)
    screen.leave()
    return site, remarks


def test_a_stop_that_holds_on_another_rank_holds_here() -> None:
    (site, remarks), complete = on_ranks(2, _stopped_elsewhere)
    assert site == Q_PROJ
    assert remarks == ["rank 1 of 2: stop nan: nan = 9"]
    assert complete


def _interrupted(rank: int, after: float) -> None:
    """Ctrl-C on the second rank, before a run or while the first one holds it."""
    model = spread(whole("Llama"), tp_size=2)
    if rank:
        threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            followed(model, _making(model)[1])
        return
    screen, heard = _Screen(model), threading.Event()
    with screen.leading.listening(heard.set):
        screen.session.start(AS_GIVEN, lambda record: record.index >= 3)
        assert heard.wait(20)
    screen.leave(interrupted=True)


@pytest.mark.parametrize("after", [0.1, 1.0])
def test_interrupting_another_rank_is_heard_whenever_it_comes(after: float) -> None:
    on_ranks(2, _interrupted, after)


def _interrupted_here(rank: int) -> bool:
    model = spread(whole("Llama"), tp_size=2)
    if rank:
        with pytest.raises(KeyboardInterrupt):
            followed(model, _making(model)[1])
        return True
    screen = _Screen(model)
    screen.session.start(AS_GIVEN, lambda record: record.index >= 3)
    screen.wait_for(Stopped)
    screen.leave(interrupted=True)
    return True


def test_interrupting_the_screen_interrupts_the_others() -> None:
    assert on_ranks(2, _interrupted_here) == [True, True]


def _stages(rank: int) -> str:
    with pytest.raises(InputError) as caught:
        leading_of(spread(whole("Llama"), pp_size=2))
    return str(caught.value)


def test_stages_are_not_held() -> None:
    assert all("can't be left on its way" in problem for problem in on_ranks(2, _stages))
