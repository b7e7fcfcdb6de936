"""One layer's choice of experts, as Python code asks for it."""

from __future__ import annotations

from tracetui.analysis.experts.choice import margins
from tracetui.analysis.experts.load import Load, expert_load
from tracetui.analysis.experts.routing import BlockRouting as Choices
from tracetui.analysis.experts.routing import Floats, Ints
from tracetui.recording.value import Array
from tracetui.text import visible


class Routing:
    """The choices of one block: n tokens, padding left out, of N = B·T. What a router didn't record is None."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices

    def __repr__(self) -> str:
        choices = self._choices
        chosen = f"{len(choices)} tokens choose {choices.active} of {choices.real or choices.count} experts"
        return f"<Routing {visible(choices.site)}: {chosen}, {len(self.load.dead)} chosen by none>"

    @property
    def site(self) -> str:
        """Path of the block."""
        return self._choices.site

    @property
    def count(self) -> int:
        """E: how many experts there are to choose from."""
        return self._choices.count

    @property
    def experts(self) -> Ints:
        """[n,A]: the chosen experts; a number after the last one's stands for a router's class that skips them all."""
        return self._choices.experts

    @property
    def weights(self) -> Array | None:
        """[n,A]: what each chosen expert's output is multiplied with."""
        return self._choices.weights

    @property
    def logits(self) -> Array | None:
        """[n,E]: the gate's raw output."""
        return self._choices.logits

    @property
    def scores(self) -> Array | None:
        """[n,E]: after softmax or sigmoid."""
        return self._choices.scores

    @property
    def selection(self) -> Array | None:
        """[n,E]: what the choice was made from: bias added, experts of masked groups -inf."""
        return self._choices.selection

    @property
    def margins(self) -> Floats | None:
        """[n,A]: how far each chosen expert lies above the best one not chosen; 0 is a tie."""
        criterion = self._choices.criterion
        return None if criterion is None else margins(criterion, self._choices.experts)

    @property
    def load(self) -> Load:
        """How often each expert was chosen: `.counts`, `.shares` [E], `.entropy`, `.gini`, `.dead`, `.busiest(k)`."""
        return expert_load(*self._choices.taken)

    @property
    def rows(self) -> Ints:
        """[n]: each token's row of the batch."""
        return self._choices.prompts

    @property
    def positions(self) -> Ints:
        """[n]: each token's place in its row."""
        return self._choices.positions
