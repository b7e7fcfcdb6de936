"""Ranks that ran other layers: stages of a pipeline, of which the last one's output is the model's."""

from __future__ import annotations

from dataclasses import dataclass

from tracetui.recording.ranks.gather import Gathered, Holder, SiteParts
from tracetui.recording.record import layer_of, layer_path, plain_site


@dataclass(frozen=True, slots=True)
class Stages:
    """Which ranks ran the last layers, and the modules that hold layers of several stages."""

    last: frozenset[int]
    containers: frozenset[str]

    def last_of(self, parts: SiteParts) -> SiteParts:
        """A record as it counts: of a module that runs layers on every stage, what the last stage had.

        On the others it is what they hand on, and not the module's output.
        """
        module = plain_site(parts.key).partition(":")[0]
        if module not in self.containers or not self.last & set(parts.ranks):
            return parts
        kept = SiteParts(parts.key)
        for slot, holders in parts.slots.items():
            late = [Holder(each.record, each.value, [r for r in each.ranks if r in self.last]) for each in holders]
            if late := [holder for holder in late if holder.ranks]:
                kept.slots[slot] = late
        return kept


def stages_of(gathered: Gathered) -> Stages:
    """Told by which layers each rank ran; without stages no module holds layers of several."""
    layers: dict[frozenset[int], set[int]] = {}
    containers: set[str] = set()
    for keys, ranks in gathered.sequences.items():
        ran = frozenset(layer for key in keys if (layer := layer_of(plain_site(key))) is not None)
        layers.setdefault(ran, set()).update(ranks)
        for path in {layer_path(plain_site(key)) for key in keys}:
            steps = path.split(".")
            containers.update(".".join(steps[:count]) for count in range(1, len(steps)))
    if len(layers) < 2:
        return Stages(frozenset(), frozenset())
    last = max(layers, key=lambda ran: max(ran, default=-1))
    return Stages(frozenset(layers[last]), frozenset(containers))
