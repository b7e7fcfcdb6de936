"""Looking at what one rank of a run recorded, or at all of it together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tracetui.debugger.session import Event, Viewed
from tracetui.errors import InputError, TracetuiError
from tracetui.recording.trace import Trace
from tracetui.ui.debugger_screen.host import Handlers, Host

ALL = "all"


class RankActions:
    """The cursor stays at its record where the other view has it."""

    def __init__(self, host: Host, hear: Callable[[Event], None]) -> None:
        """hear: takes the event that another trace is on view."""
        self._host = host
        self._hear = hear

    @property
    def handlers(self) -> Handlers:
        return {"rank": self.choose}

    def choose(self) -> None:
        """Ask which rank's part to look at."""
        trace = self._host.state.trace
        ranks = [rank for rank in trace.by_rank if rank is not None]
        if not ranks:
            self._host.show(_why_not(trace, self._host.state.under_way))
            return
        from tracetui.ui.dialogs.ask import AskScreen, Question

        hint = f"{ALL}, or a rank: {ranks[0]} to {ranks[-1]}" if len(ranks) > 1 else f"{ALL}, or {ranks[0]}"
        self._host.push(AskScreen(Question("Whose records?", hint, lambda typed: chosen(trace, typed))), self._chosen)

    def _chosen(self, typed: str | None) -> None:
        if typed is not None:
            self.look_at(chosen(self._host.state.trace, typed))

    def look_at(self, rank: int | None) -> None:
        """Show a rank's own records, or of None those of all together."""
        ranks = self._host.state.trace.by_rank
        self._host.show("the ranks' records are being put together…")
        self._host.read("ranks", partial(_read, ranks, rank), partial(self._look, rank), of_trace=True)

    def _look(self, rank: int | None, view: Viewed | str) -> None:
        if isinstance(view, str):
            self._host.report(view)
            self._host.show(view)
            return
        key = self._host.state.record.key
        self._hear(view)
        missing = "" if not key or view.trace.find(key) is not None else f"; it has no {key}"
        self._host.show(f"{'all ranks together' if rank is None else f'rank {rank} alone'}{missing}")


def _read(ranks: Mapping[int | None, Trace], rank: int | None) -> Viewed | str:
    """Off the screen's thread: it may have to wait for the ranks. What went wrong comes in words."""
    from tracetui.debugger.recorded_session import outline_of

    try:
        trace = ranks[rank]
    except TracetuiError as error:
        return str(error)
    return Viewed(trace, outline_of(trace))


def chosen(trace: Trace, typed: str) -> int | None:
    """The rank that a line names; None for all together. Raises InputError."""
    word = typed.strip()
    if word in ("", ALL):
        return None
    if not word.isascii() or not word.isdigit() or int(word) not in trace.by_rank:
        raise InputError(
            f"no rank is called that; there are {', '.join(str(r) for r in trace.by_rank if r is not None)}"
        )
    return int(word)


def _why_not(trace: Trace, is_under_way: bool) -> str:
    if is_under_way and trace.run.parallel is not None:
        return f"this is rank {trace.run.parallel.rank}'s own part; once the run has ended F shows all ranks together"
    if trace.run.parallel is None:
        return "one process ran this; a folder of ranks' files can be looked at rank by rank"
    return "this file has one view; open the folder of the ranks' files to look at each"
