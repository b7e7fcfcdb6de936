"""Looking at what one rank of a run recorded, or at all of it together."""

from __future__ import annotations

from collections.abc import Callable

from tracetui.debugger.session import Event, Opened
from tracetui.errors import InputError
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
            self._host.show(_why_not(trace))
            return
        from tracetui.ui.dialogs.ask import AskScreen, Question

        hint = f"{ALL}, or a rank: {ranks[0]} to {ranks[-1]}" if len(ranks) > 1 else f"{ALL}, or {ranks[0]}"
        self._host.push(AskScreen(Question("Whose records?", hint, lambda typed: chosen(trace, typed))), self._chosen)

    def _chosen(self, typed: str | None) -> None:
        if typed is not None:
            self.look_at(chosen(self._host.state.trace, typed))

    def look_at(self, rank: int | None) -> None:
        """Show a rank's own records, or of None those of all together."""
        from tracetui.debugger.recorded_session import outline_of

        key, trace = self._host.state.record.key, self._host.state.trace.by_rank[rank]
        self._hear(Opened(trace, outline_of(trace)))
        record = trace.find(key)
        if record is not None:
            self._host.driver.jump(record.index)
        missing = "" if record is not None else f"; it has no {key}"
        self._host.show(f"{'all ranks together' if rank is None else f'rank {rank} alone'}{missing}")


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


def _why_not(trace: Trace) -> str:
    if trace.run.parallel is None:
        return "one process ran this; a folder of ranks' files can be looked at rank by rank"
    return "this file has one view; open the folder of the ranks' files to look at each"
