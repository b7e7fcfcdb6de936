"""The parts of two tensors that can be compared: what both prompts have in common, without padding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracetui.analysis.axes import axes_of
from tracetui.trace.record import Record
from tracetui.trace.trace import Trace
from tracetui.trace.value import Array

_LAST_TOKEN = ("lm_head", "logits")


@dataclass(frozen=True, slots=True)
class Window:
    """How much of the token axes is compared."""

    config: Mapping[str, object]
    lengths_a: tuple[int, ...]
    """Real tokens a row of A's; empty if unknown."""
    common: int | None
    """Tokens from the start on that are the same on both sides; None if all are, or nothing is known."""

    def cut(self, record: Record, array: Array) -> Array:
        """The array of a site as far as the prompts are the same, its padding set to zero."""
        names = [axis.name for axis in axes_of(record, self.config)]
        if array.ndim != len(names):
            return array
        if self.common is not None:
            array = array[tuple(slice(self.common) if self._counts(name) else slice(None) for name in names)]
        return self._without_padding(array, names)

    def needed(self) -> bool:
        return self.common is not None or len(set(self.lengths_a)) > 1

    def _counts(self, name: str) -> bool:
        """Whether an axis counts tokens; batch and tokens in one do so for a single prompt."""
        return name in ("T", "S") or (name == "N" and len(self.lengths_a) <= 1)

    def _without_padding(self, array: Array, names: list[str]) -> Array:
        if len(set(self.lengths_a)) < 2 or names[0] != "B" or array.shape[0] != len(self.lengths_a):
            return array
        array = array.copy()
        for axis, name in enumerate(names):
            if name in ("T", "S"):
                for row, length in enumerate(self.lengths_a):
                    array[row].swapaxes(0, axis - 1)[length:] = 0
        return array


def window(a: Trace, b: Trace, common: int | None) -> Window:
    """For two traces whose prompts have `common` tokens in common."""
    config = {**b.run.config, **a.run.config}
    return Window(config, tuple(len(row) for row in a.tokens or b.tokens), common)


def last_token(site: str, wanted: tuple[int, ...], found: tuple[int, ...]) -> bool:
    """Whether these are logits of which one side kept the last position only."""
    if site.partition("@")[0] not in _LAST_TOKEN or len(wanted) != len(found) or len(wanted) < 2:
        return False
    others = [axis for axis in range(len(wanted)) if axis != len(wanted) - 2]
    return 1 in (wanted[-2], found[-2]) and all(wanted[axis] == found[axis] for axis in others)
