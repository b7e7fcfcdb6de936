"""The first line: what is being run, and at the right how far it is."""

from __future__ import annotations

from textual.content import Content

from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import Phase, ScreenState
from tracetui.recording.parallel import Parallel
from tracetui.text import visible
from tracetui.ui.widgets.state_text import StateText

_MARKS = {
    Phase.PREPARING: ("○", "$quiet"),
    Phase.READY: ("○", "$quiet"),
    Phase.STARTING: ("▶", "$running"),
    Phase.RUNNING: ("▶", "$running"),
    Phase.STOPPED: ("●", "$waiting"),
    Phase.FINISHED: ("✓", "$success"),
    Phase.CANCELLED: ("◌", "$waiting"),
    Phase.FAILED: ("✗", "$error"),
    Phase.RECORDED: ("■", "$accent"),
}


_ROOMY = 100


class Header(StateText):
    """`tracetui  llama3-2layer · bfloat16 · random weights        ● stopped at record 6 · 7 recorded`."""

    def __init__(self, offer: StartPage) -> None:
        super().__init__()
        self._offer = offer

    def content(self) -> Content:
        mark, colour = _MARKS[self.state.phase]
        right = Content.assemble((f"{mark} ", colour), standing(self.state, self.size.width < _ROOMY), " ")
        left = self._left(self.size.width - right.cell_length - 2)
        return Content.assemble(left, " " * (self.size.width - left.cell_length - right.cell_length), right)

    def _left(self, room: int) -> Content:
        """As many facts as fit; the name is always there, cut if it must be."""
        left = Content.assemble((" tracetui ", "bold $primary"), " ", (visible(self._offer.title), "bold"))
        for fact in (ranks_words(self.state.trace.run.parallel), *self._offered()):
            longer = Content.assemble(left, ("  ·  ", "$quiet"), (visible(fact), "$quiet"))
            if fact and longer.cell_length <= room:
                left = longer
        return left.truncate(max(1, room), ellipsis=True)

    def _offered(self) -> tuple[str, ...]:
        return self._offer.description, self._dtype(), self._offer.weights

    def _dtype(self) -> str:
        """What was asked for; a run that was begun knows what `auto` comes to."""
        run_in = str(self.state.trace.run.recipe.get("dtype", ""))
        return run_in if run_in and self._offer.dtype == "auto" else self._offer.dtype


def ranks_words(parallel: Parallel | None) -> str:
    """Whose records are on view: `rank 1 of 4`, `4 ranks together`; empty for one process."""
    if parallel is None:
        return ""
    return f"{parallel.world} ranks together" if parallel.rank is None else f"rank {parallel.rank} of {parallel.world}"


def standing(state: ScreenState, short: bool = False) -> str:
    """How far the session is, in a few words; records count from 0."""
    if state.phase is Phase.STOPPED:
        return f"{'' if short else 'stopped at record '}{state.cursor} · {state.frontier} recorded"
    if state.phase in (Phase.RUNNING, Phase.FINISHED, Phase.CANCELLED, Phase.RECORDED):
        return f"{state.phase.value} · {state.frontier} record{'s' if state.frontier != 1 else ''}"
    return str(state.phase.value)
