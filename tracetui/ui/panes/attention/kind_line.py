"""The line of an attention call's planes, and what each is called."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content
from textual.reactive import reactive

from tracetui.analysis.attention.kinds import KINDS
from tracetui.debugger.readings.attention import Shown
from tracetui.ui.widgets.action_line import ActionLine, Part

NAMES: Mapping[Shown, str] = {
    "scores": "before mask",
    "masked": "masked",
    "probs": "probabilities",
    "kv_latent": "latent",
    "k_rope": "rotary key",
    "absorbed_scores": "absorbed",
    "difference": "naive − absorbed",
}
_SHORT: Mapping[Shown, str] = {**NAMES, "scores": "scores", "probs": "probs", "k_rope": "rope", "difference": "Δ"}
_TINY: Mapping[Shown, str] = {
    **_SHORT,
    "scores": "score",
    "masked": "mask",
    "probs": "prob",
    "kv_latent": "lat",
    "absorbed_scores": "abs",
}


class KindLine(ActionLine):
    """The planes of the call, the one on view marked; in short words where there is little room."""

    shown: reactive[Shown] = reactive[Shown]("probs")
    kinds: reactive[tuple[Shown, ...]] = reactive[tuple[Shown, ...]](KINDS)

    def offer(self, kinds: tuple[Shown, ...], shown: Shown) -> None:
        self.kinds, self.shown = kinds, shown

    def parts(self) -> list[Part]:
        chosen = "bold $cursor-text on $cursor"
        widths = ((names, sum(len(names[kind]) + 2 for kind in self.kinds)) for names in (NAMES, _SHORT, _TINY))
        names, gap = next(((names, " ") for names, width in widths if width <= self.size.width), (_TINY, ""))
        return [
            (
                Content.styled(f" {names[kind]}{gap}", chosen if kind == self.shown else "$quiet"),
                f"screen.command('scores', '{kind}')",
            )
            for kind in self.kinds
        ]
