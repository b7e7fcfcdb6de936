"""Where two traces lie furthest apart, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from rich.cells import cell_len

from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.recording.record import plain_site
from tracetui.views.cells import bar
from tracetui.views.diff.format import end, number

_BAR = 12
_BEHIND_LAYERS = ("model.norm", "model", "lm_head", "logits")


def layer_lines(comparison: Comparison, width: int) -> Iterator[str]:
    """One line a layer: its worst site, as a bar on a logarithmic scale from float32's rounding to 1."""
    worst = worst_by_layer(comparison.sites)
    if not worst or not comparison.different:
        return
    yield ""
    yield "Layer by layer, the worst |a-b|/|b| of a row (bars: log, 1e-7 to 1)"
    for layer, site in worst:
        assert site.distance is not None
        filled = bar(_height(site.distance.furthest), _BAR)
        off = site.outcome is Outcome.DIFFERENT
        mark = "off " if off else "same"
        left = f"{layer:>7}  {mark}  {filled}{' ' * (_BAR - cell_len(filled))} {number(site.distance.furthest):>9}  "
        yield (left + end(site.site, width - cell_len(left)) if off else left).rstrip()


def worst_by_layer(sites: Iterable[SiteDiff]) -> list[tuple[str, SiteDiff]]:
    """For each layer, and before and after them, the site that is furthest apart; in order of execution."""
    worst: dict[str, SiteDiff] = {}
    layers_seen = False
    for site in sites:
        if site.distance is None:
            continue
        layer = site.pair.record.layer
        layers_seen = layers_seen or layer is not None or plain_site(site.site) in _BEHIND_LAYERS
        name = str(layer) if layer is not None else "after" if layers_seen else "before"
        known = worst.get(name)
        if known is None or _badness(site) > _badness(known):
            worst[name] = site
    return list(worst.items())


def _badness(site: SiteDiff) -> tuple[bool, int, float]:
    found = site.distance
    assert found is not None
    relative = math.inf if math.isnan(found.furthest) else found.furthest
    return site.outcome is Outcome.DIFFERENT, found.unlike, relative


def _height(relative: float) -> float:
    if math.isnan(relative):
        return 1.0
    return max(0.0, min(1.0, 1 + math.log10(relative) / 7)) if relative > 0 else 0.0
