"""The debugger on a module that somebody has, in the middle of their own program."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tracetui.api.recipes import Kept, attention_of, edits_of, keep_of, stops_of
from tracetui.api.trace import Trace
from tracetui.debugger.memory.note import SessionNote
from tracetui.debugger.memory.restored import Restored
from tracetui.errors import InputError, RunError
from tracetui.expr.stop import with_defaults
from tracetui.expr.watch import parse_watch

if TYPE_CHECKING:
    from torch import nn

    from tracetui.debugger.session import Listener
    from tracetui.debugger.start_page import StartPage
    from tracetui.recipe import Recipe
    from tracetui.tracer.live import CallerContext, LiveSession

_CLOSE_SECONDS = 2.0
_INTERRUPTED = 130
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGTSTP", "SIGCONT", "SIGWINCH", "SIGTTIN", "SIGTTOU")
"""Those for which the screen has handlers of its own."""
_INSTEAD = "tracetui.trace(model, …) records the same without a screen"


class Debugged:
    """What a visit to the debugger left."""

    def __init__(self, trace: Trace, output: Any, error: BaseException | None) -> None:
        self.trace = trace
        """What the last run recorded; without records if none was begun."""
        self.error = error
        """What the model raised in the last run, or None. It is not raised again."""
        self._output = output

    def __repr__(self) -> str:
        return f"<Debugged {self.trace!r}>"

    @property
    def output(self) -> Any:
        """What the model returned in the last run, edits included.

        Raises what the model raised instead, and RunError if the run was left before its end.
        """
        if self.error is not None:
            raise self.error
        if not len(self.trace) or not self.trace.complete:
            raise RunError("output: the model's last run in the debugger was left before its end")
        return self._output


def debug(
    model: nn.Module,
    /,
    *inputs: object,
    stops: str | Sequence[str] = (),
    edits: str | Sequence[str] = (),
    watches: str | Sequence[str] = (),
    tokenizer: object = None,
    keep: Kept = "all",
    attention: str = "qkv",
    **kwargs: object,
) -> Debugged:
    """Open the debugger on a module, as breakpoint() does; the program goes on when it is left.

    The module is called with `inputs` and `kwargs` as they are, in a thread that has this one's gradient and inference
    mode, autocast, default device and context variables. Its weights, mode and configuration stay as they are. stops,
    edits, watches: expressions as on the screen; `nan` and `inf` always stop. tokenizer: one of transformers', or a
    function from an id to its text. keep and attention are as tracetui.trace takes them.

    Needs the main thread and a terminal. In a program of several ranks all of them call it: the first has the screen,
    and the others go where it goes. Raises InputError, and KeyboardInterrupt if the screen was left by Ctrl-C.
    """
    _check_given(model, attention)
    rank = _rank_here()
    _check_place(has_screen=not rank)
    # Textual paints at most so often; at its own 60 the numbers of a step come a frame or two late.
    os.environ.setdefault("TEXTUAL_FPS", "120")
    from tracetui.models.given import Inputs, given_model, recipe_of, vocabulary_of
    from tracetui.models.tokenizers.given import given_tokenizer
    from tracetui.tracer.caller import Caller
    from tracetui.tracer.live import CallerContext

    name = type(model).__name__
    changes = edits_of(edits)
    recipe = recipe_of(name, f"{name} of this program", keep=keep_of(keep), attention=attention, edits=changes)
    known, caller = given_tokenizer(tokenizer, vocabulary_of(model)), Caller.here()

    def make() -> Any:
        return given_model(model, recipe, Inputs(inputs, kwargs), known, caller.applied)

    offer = _offer(name, recipe, known.name, stops, watches, begins=bool(inputs or kwargs))
    context = CallerContext(make, contextvars.copy_context())
    if rank is None:
        return _visit(recipe, context, offer)
    from tracetui.tracer.ranks.debugged import followed, leading_of

    if rank:
        follower = followed(model, make)
        return Debugged(Trace(follower.trace), follower.output, follower.error)
    return _visit(recipe, replace(context, leading=leading_of(model)), offer)


def _offer(
    name: str, recipe: Recipe, tokenizer: str, stops: str | Sequence[str], watches: str | Sequence[str], begins: bool
) -> StartPage:
    """What the screen begins with. begins: whether there is something that the module can be called with at once."""
    from tracetui.debugger.start_page import StartPage

    watched = tuple(parse_watch(text) for text in ([watches] if isinstance(watches, str) else watches))
    return StartPage(
        title=name,
        description=recipe.title,
        weights="its own weights",
        prompts=recipe.prompts,
        tokenizer=tokenizer,
        stops=with_defaults(stops_of(stops)),
        edits=recipe.edits,
        recalled=Restored(SessionNote(watches=watched)),
        begins=begins,
    )


def _check_given(model: object, attention: str) -> None:
    """Raises TypeError for what is no module, and InputError for an unknown choice of matrices."""
    if not hasattr(model, "named_modules"):
        raise TypeError(f"an nn.Module is needed, got {type(model).__name__}; `tracetui run` opens recipes and folders")
    attention_of(attention)


def _rank_here() -> int | None:
    """Which of several ranks of a program this is; None where there is but one."""
    import torch.distributed as dist

    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    return dist.get_rank() if several else None


def _check_place(has_screen: bool) -> None:
    """Raises InputError where no screen can be opened. has_screen: whether one is to be."""
    if not has_screen:
        return
    if threading.current_thread() is not threading.main_thread():
        raise InputError(f"debug: works in the main thread alone; {_INSTEAD}")
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise InputError(f"debug: can't run inside an event loop, such as a notebook's; {_INSTEAD}")
    if not (sys.stdin and sys.stdout and sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError(f"debug: needs a terminal; {_INSTEAD}")


def _visit(recipe: Recipe, context: CallerContext, offer: StartPage) -> Debugged:
    import torch

    from tracetui.tracer.live import LiveSession
    from tracetui.tracer.ranks.debugged import left_at_once
    from tracetui.ui.app import TracetuiApp

    sessions: list[LiveSession] = []

    def open_session(listener: Listener) -> LiveSession:
        sessions.append(LiveSession(recipe, listener, context))
        return sessions[0]

    app = TracetuiApp(open_session, offer)
    leading = context.leading
    leave_at_once = partial(left_at_once, app.call_from_thread, app.exit, sessions)
    threads = torch.get_num_threads()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    status: int | None = None
    try:
        with (
            _own_signals(),
            nullcontext() if leading is None else leading.listening(leave_at_once),
        ):
            status = app.run()
        _leave(status if status is not None else app.return_code or 0)
    finally:
        for session in sessions:
            _end(session)
        if leading is not None:
            leading.ends(status == _INTERRUPTED)
        torch.set_num_threads(threads)
    last = sessions[0] if sessions else None
    return Debugged(Trace(_recorded(last)), None if last is None else last.output, None if last is None else last.error)


def _recorded(session: LiveSession | None) -> Any:
    from tracetui.recording.trace import EMPTY_TRACE

    return EMPTY_TRACE if session is None else session.trace


@contextmanager
def _own_signals() -> Iterator[None]:
    """The program's own handlers stand again afterwards."""
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


def _leave(status: int) -> None:
    """How the screen was left: by a key, or by what must reach the program too."""
    if status == _INTERRUPTED:
        raise KeyboardInterrupt
    if status > 128:
        raise SystemExit(status)
    if status:
        raise RunError("debug: the screen failed; what it said stands above")


def _end(session: LiveSession) -> None:
    """Wait until the model's thread has taken its hooks off; nothing can leave it inside one operation."""
    if not session.close(_CLOSE_SECONDS):
        print("tracetui: waiting for the model to leave what it is at; Ctrl-C doesn't wait", file=sys.stderr)
        session.close(None)
