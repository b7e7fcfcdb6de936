"""How heads are turned by their positions, measured from what comes in and goes out: which values, and how fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.arrays import Numbers

FEWEST = 3
"""Positions without which a speed can't be told from a place to start from."""
_NOISE = 1e-4
"""Of a value's root mean square: what changes by less is not turned."""
_MEASURABLE = 20.0
"""How many times the noise a pair would have to turn over the prompt to be seen standing still."""


def halves(heads: Numbers) -> Numbers:
    """Complex numbers [B,H,T,K/2] of the pairs (j, j + K/2)."""
    half = heads.shape[-1] // 2
    return np.asarray(heads[..., :half] + 1j * heads[..., half:])


def pairs(heads: Numbers) -> Numbers:
    """Complex numbers [B,H,T,K/2] of neighbours."""
    return np.asarray(heads[..., ::2] + 1j * heads[..., 1::2])


WAYS = {
    "halves": (halves, halves),
    "adjacent pairs": (pairs, pairs),
    "adjacent pairs, put into halves": (pairs, halves),
}
"""Which values of a head are turned together, and where they then lie."""


@dataclass(frozen=True, eq=False, slots=True)
class Rotation:
    """Positions as angles."""

    way: str
    """Of `WAYS`."""
    frequencies: Numbers
    """Radians a position, of each pair [R/2]."""
    starts: Numbers
    """The angle of each pair at the first position [R/2]."""
    length: float
    """What the rotation multiplies lengths by: 1 but for YaRN's attention factor."""
    width: int
    """Of a head."""
    last: bool = False
    """Whether it is the last values of a head that are turned, where not all are."""

    @property
    def size(self) -> int:
        """How many values of a head are turned."""
        return 2 * len(self.frequencies)

    def turned(self, heads: Numbers, way: str = "", frequencies: Numbers | None = None) -> Numbers:
        """Heads [B,H,T,K] turned so, or with one thing changed."""
        taken, put = WAYS[way or self.way]
        speeds = self.frequencies if frequencies is None else frequencies
        part, rest = _parted(heads, self.size, self.last)
        angles = self.starts + np.arange(heads.shape[2])[:, None] * speeds  # [T,R/2]
        made = taken(part) * np.exp(1j * angles) * self.length  # [B,H,T,R/2]
        if put is halves:
            whole = np.concatenate((made.real, made.imag), axis=-1)
        else:
            whole = np.stack((made.real, made.imag), axis=-1).reshape(part.shape)
        return np.concatenate((rest, whole) if self.last else (whole, rest), axis=-1)


def _parted(heads: Numbers, size: int, last: bool) -> tuple[Numbers, Numbers]:
    """The turned part of heads [...,K] and the rest."""
    rest = heads.shape[-1] - size
    return (heads[..., rest:], heads[..., :rest]) if last else (heads[..., :size], heads[..., size:])


def rotation_of(
    before: Numbers, after: Numbers, limit: float, unit: float, sizes: Sequence[int] = ()
) -> Rotation | None:
    """The rotation that makes `after` of `before`, both [B,H,T,K], to `limit` of its norm; None if none does.

    `unit` is how exact values are, relative; `sizes` are numbers of values that a configuration says are turned.
    """
    width = before.shape[3]
    if before.shape != after.shape or before.shape[2] < FEWEST or width < 4 or width % 2:
        return None
    for size, last in _parts(before, after, sizes):
        (x, x_rest), (y, y_rest) = (_parted(side, size, last) for side in (before, after))
        if float(np.linalg.norm(y_rest - x_rest)) > limit * float(np.linalg.norm(x_rest)):
            continue
        for way in WAYS:
            found = _fitted(x, y, way, limit)
            if found is not None:
                speeds, starts, length = found
                return _trimmed(Rotation(way, speeds, starts, length, width, last), unit / before.shape[2])
    return None


def _parts(before: Numbers, after: Numbers, sizes: Sequence[int]) -> Iterator[tuple[int, bool]]:
    """How many values may be turned, and whether they are the last ones."""
    width = before.shape[3]
    scale = _NOISE * float(np.sqrt(np.square(before).mean()))
    changed = np.flatnonzero(np.abs(after - before).max(axis=(0, 1, 2)) > scale)
    seen: list[tuple[int, bool]] = [(width, False)]
    if len(changed):
        first, end = int(changed[0]), int(changed[-1]) + 1
        seen += [(end + end % 2, False), (width - first + (width - first) % 2, True)]
    for size in (*sizes, width // 2, width // 4, 3 * width // 4):
        seen += [(size, False), (size, True)]
    for size, last in dict.fromkeys(seen):
        if 2 <= size <= width and size % 2 == 0 and not (last and size == width):
            yield size, last


def _fitted(before: Numbers, after: Numbers, way: str, limit: float) -> tuple[Numbers, Numbers, float] | None:
    """The speeds and starts [R/2] and the factor that turn one into the other in this layout; None if none do."""
    taken, put = WAYS[way]
    x, y = taken(before), put(after)
    products = (y * x.conj()).sum(axis=(0, 1))  # [T,R/2]
    speeds, starts = _lines(np.unwrap(np.angle(products), axis=0))
    length = float(np.abs(products).sum() / np.square(np.abs(x)).sum())
    made = x * np.exp(1j * (starts + np.arange(x.shape[2])[:, None] * speeds)) * length
    near = float(np.linalg.norm(made - y)) <= limit * float(np.linalg.norm(y))
    return (speeds, starts, length) if near else None


def _trimmed(turn: Rotation, still: float) -> Rotation:
    """Without its last pairs, if they don't turn though a speed above `still` would show: they aren't rotated."""
    speeds = np.abs(turn.frequencies)
    count = int(np.flatnonzero(speeds > still)[-1]) + 1 if (speeds > still).any() else 0
    if turn.way == "halves" or not 1 < count < len(speeds):
        return turn
    expected = speeds[count - 1] ** 2 / speeds[count - 2]
    if expected < _MEASURABLE * still:
        return turn
    return Rotation(turn.way, turn.frequencies[:count], turn.starts[:count], turn.length, turn.width)


def rotation_of_table(cos: Numbers, sin: Numbers, limit: float) -> Rotation | None:
    """The rotation of tables [T,K], or [T,K/2] where each angle stands once."""
    if cos.shape != sin.shape or cos.ndim != 2 or len(cos) < FEWEST:
        return None
    half = cos.shape[1] // 2
    if half and np.array_equal(cos[:, :half], cos[:, half:]):
        cos, sin = cos[:, :half], sin[:, :half]
    elif half and np.array_equal(cos[:, ::2], cos[:, 1::2]):
        cos, sin = cos[:, ::2], sin[:, ::2]
    table = cos + 1j * sin  # [T,K/2]
    speeds, starts = _lines(np.unwrap(np.angle(table), axis=0))
    length = float(np.abs(table).mean())
    made = np.exp(1j * (starts + np.arange(len(table))[:, None] * speeds)) * length
    if float(np.linalg.norm(made - table)) > limit * float(np.linalg.norm(table)):
        return None
    return Rotation("halves", speeds, starts, length, 2 * len(speeds))


def _lines(phases: Numbers) -> tuple[Numbers, Numbers]:
    """Slope and start of the line through each column of [T,K/2]."""
    steps = np.arange(len(phases)) - (len(phases) - 1) / 2  # [T]
    slopes = (steps[:, None] * phases).sum(axis=0) / np.square(steps).sum()
    return slopes, phases.mean(axis=0) - slopes * (len(phases) - 1) / 2
