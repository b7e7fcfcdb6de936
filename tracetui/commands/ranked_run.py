"""`tracetui run` as one rank of several: the first one has the screen, and the others go where it goes."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from tracetui.commands.ranked import first_speaks, sizes_of
from tracetui.errors import RunError, in_words
from tracetui.launch import is_another_rank
from tracetui.text import visible

if TYPE_CHECKING:
    from tracetui.debugger.session import Listener
    from tracetui.debugger.start_page import StartPage
    from tracetui.models.runnable import Runnable
    from tracetui.recipe import Recipe
    from tracetui.tracer.live import LiveSession
    from tracetui.tracer.ranks.together import Ranks
    from tracetui.tracer.ranks.tracing import TracingRanks

_INTERRUPTED = 130
_WAITING_SECONDS = 8.0


def ranked_run(arguments: Namespace) -> int:
    """Open the debugger on a model that all ranks have together; returns the exit status."""
    return first_speaks(partial(_run, arguments))


def _run(arguments: Namespace) -> int:
    from tracetui.commands.run_page import run_offer
    from tracetui.commands.terminal import require_terminal
    from tracetui.headless import Stops, told_run

    sizes = sizes_of(arguments)
    if not is_another_rank():
        require_terminal("run:", "`tracetui trace`")
    recipe, offer = run_offer(arguments)
    from tracetui.tracer.ranks.tracing import TracingRanks

    ranks = TracingRanks(sizes)
    model = told_run(recipe, Stops(), lambda recipe, emit, stops: ranks.made(recipe, emit))
    if is_another_rank():
        return _follow(ranks, model)
    return _lead(ranks, model, recipe, offer)


def _follow(ranks: TracingRanks, model: Runnable) -> int:
    from tracetui.signals import leave_signals
    from tracetui.tracer.ranks.debugged import followed_on
    from tracetui.tracer.ranks.follower import interrupts

    # Told to end, it has nothing to put in order, and may be inside a collective that nobody else is in any more.
    leave_signals()
    with interrupts() as is_interrupted, suppress(KeyboardInterrupt, RunError):
        try:
            followed_on(ranks.ranks, model, is_interrupted)
        except Exception as error:
            return _failed(ranks.ranks, error)
    return 0


def _failed(ranks: Ranks, error: Exception) -> int:
    """A mistake of ours on a rank that has no terminal: the first one says it, once it has given its screen back."""
    from tracetui.logs import write_log
    from tracetui.tracer.ranks.together import FAILED

    log = write_log("crash", error)
    ranks.write(FAILED, f"rank {ranks.rank}: internal error: {in_words(error)}{log and f'; the log is in {log}'}")
    # Ended, it would have torchrun end all others at once.
    time.sleep(_WAITING_SECONDS)
    return 1


def _lead(ranks: TracingRanks, model: Runnable, recipe: Recipe, offer: StartPage) -> int:
    from contextvars import copy_context

    from tracetui.tracer.live import CallerContext, LiveSession
    from tracetui.tracer.ranks.debugged import leading_on, left_at_once
    from tracetui.tracer.ranks.together import FAILED
    from tracetui.ui.app import TracetuiApp
    from tracetui.ui.terminal.last_resort import run_app

    leading = leading_on(ranks.ranks, model)
    context = CallerContext(lambda: model, copy_context(), leading)
    sessions: list[LiveSession] = []

    def open_session(listener: Listener) -> LiveSession:
        sessions.append(LiveSession(recipe, listener, context))
        return sessions[0]

    app = TracetuiApp(open_session, offer)

    def leave() -> None:
        leading.ends()
        if problem := ranks.ranks.read_if_there(FAILED):
            print(f"tracetui: {visible(problem, 700)}", file=sys.stderr, flush=True)

    with leading.listening(partial(left_at_once, app.call_from_thread, app.end, sessions)):
        status = run_app(app, leave)
    leave()
    # Nobody waits for another status of what was left by a key; torchrun would take it for a failure of all.
    return 0 if status == _INTERRUPTED else status
