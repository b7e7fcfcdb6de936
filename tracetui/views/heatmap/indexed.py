"""Colours on a terminal that has only 256 of them, and colours that no level of a palette can be taken for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from tracetui.views.palette import LEVELS, Palette, oklab

_CUBE = (0, 95, 135, 175, 215, 255)
_FIRST = 16
"""The colours before this one are the user's own."""
_LIGHTNESS = 2.0
"""How much more a wrong lightness counts than a wrong hue: lightness is what orders a palette."""
_STEPS = range(16, 11, -1)
"""Colours of a ramp: as many as there are with steps that can be seen."""
_HUE, _TURN = 3.0, 0.6
"""What a wrong hue costs in a ramp, whose order is seen to, and a hue that jumps to and fro."""
_LEAST_STEP, _LEAST_RISE = 0.035, 0.01
"""Between neighbours of a ramp: how far apart they are in OKLab, and in lightness alone."""
_TINTED = 0.02
"""Chroma from which on a colour is no grey."""

Indices = npt.NDArray[np.int64]
Distances = npt.NDArray[np.float64]


def nearest_index(colour: int) -> int:
    """The terminal's colour, 16 to 255, that looks most like 0xRRGGBB."""
    return _FIRST + int(_distances(np.array([oklab(colour)])).argmin())


def shown_colour(index: int) -> int:
    """What a terminal shows for the colours 16 to 255, as 0xRRGGBB."""
    return _terminal()[index - _FIRST]


@cache
def ramp(palette: Palette) -> tuple[int, ...]:
    """The terminal's colour, 16 to 255, for each level of a palette: 12 to 16 of them, half as many on a side of zero.

    Each is lighter than the one before, or each darker, as the palette goes; none is a grey unless the palette is.
    """
    levels = np.array([oklab(colour) for colour in palette.levels])  # [LEVELS,3]
    if not palette.diverging:
        return _spread(_chosen(levels, _STEPS), LEVELS)
    half = LEVELS // 2
    counts = range(_STEPS.start // 2, _STEPS.stop // 2, -1)
    below = _chosen(levels[half - 1 :: -1], counts)
    above = _chosen(levels[half:], counts, below)
    return (*_spread(below, half)[::-1], *_spread(above, half))


def outside(colour: int, taken: Sequence[int], least: float) -> int:
    """A colour that is none of those taken, all 0xRRGGBB: itself if it is far enough away, else the most like it."""
    others = np.array([oklab(each) for each in taken])  # [n,3]
    mine = np.array(oklab(colour))
    if _apart(mine[None], others).min() >= least:
        return colour
    free = _apart(_labs(), others).min(axis=1)  # [240]
    if (free < least).all():
        return _terminal()[int(free.argmax())]
    return _terminal()[int(np.where(free < least, np.inf, _apart(_labs(), mine[None])[:, 0]).argmin())]


def _chosen(levels: Distances, counts: range, taken: Sequence[int] = ()) -> list[int]:
    """Colours along a row of levels [n,3]: of so many as there can be, those that look most like it."""
    tinted = np.hypot(levels[:, 1], levels[:, 2]).max() >= _TINTED
    fits = (np.hypot(_labs()[:, 1], _labs()[:, 2]) >= _TINTED) == tinted  # [240]
    fits[[index - _FIRST for index in taken]] = False
    for count in counts:
        places = np.linspace(0, len(levels) - 1, count).round().astype(int)
        costs = _distances(levels[places], (1.0, _HUE, _HUE))  # [count,240]
        path = _cheapest(np.where(fits, costs, np.inf), rises=levels[-1, 0] > levels[0, 0])
        if path:
            return path
    # Too few shades from end to end: those nearest to each level.
    return [_FIRST + int(place) for place in _distances(levels).argmin(axis=1)]


def _cheapest(costs: Distances, rises: bool) -> list[int]:
    """One colour a step [count,240] at the least cost, each visibly lighter or darker; none if there are none."""
    lightness = _labs()[:, 0] if rises else -_labs()[:, 0]
    follows = (lightness[None] - lightness[:, None] >= _LEAST_RISE) & (_apart(_labs(), _labs()) >= _LEAST_STEP)
    turns = np.where(follows, _TURN * _apart(_labs()[:, 1:], _labs()[:, 1:]) ** 2, np.inf)  # [from,to]
    best, came_from = costs[0], []
    for step in costs[1:]:
        ways = best[:, None] + turns
        came_from.append(ways.argmin(axis=0))
        best = ways.min(axis=0) + step
    if not np.isfinite(best.min()):
        return []
    path = [int(best.argmin())]
    for before in reversed(came_from):
        path.append(int(before[path[-1]]))
    return [_FIRST + place for place in reversed(path)]


def _spread(colours: list[int], levels: int) -> tuple[int, ...]:
    return tuple(colours[level * len(colours) // levels] for level in range(levels))


def _distances(labs: Distances, weights: tuple[float, float, float] = (_LIGHTNESS, 1.0, 1.0)) -> Distances:
    """How much each colour [n,3] differs from each of the terminal's [n,240]."""
    apart = labs[:, None] - _labs()[None]  # [n,240,3]
    squares: Distances = (apart * apart) @ np.array(weights)
    return squares


def _apart(labs: Distances, others: Distances) -> Distances:
    """How far each of some colours [n,3] is from each of others [m,3] in OKLab: [n,m]."""
    distances: Distances = np.sqrt(((labs[:, None] - others[None]) ** 2).sum(axis=2))
    return distances


@cache
def _terminal() -> tuple[int, ...]:
    """What xterm and its like show for the colours 16 to 255."""
    cube = [red << 16 | green << 8 | blue for red in _CUBE for green in _CUBE for blue in _CUBE]
    return *cube, *(level << 16 | level << 8 | level for level in range(8, 248, 10))


@cache
def _labs() -> Distances:
    """The terminal's colours in OKLab: [240,3]."""
    return np.array([oklab(colour) for colour in _terminal()])
