"""Byte-pair encoding of one word: neighbours become one part, the best pair first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

Rank = Callable[[str, str], float | None]
"""Of two neighbours: the lower, the sooner they become one; None if they never do."""


def merged(symbols: Sequence[str], rank: Rank) -> list[str]:
    """The parts that are left when no pair of neighbours has a rank; of equal pairs the leftmost comes first."""
    parts, count = list(symbols), len(symbols)
    before, behind = list(range(-1, count - 1)), list(range(1, count + 1))
    queue: list[tuple[float, int, int, str]] = []

    def offer(left: int, right: int) -> None:
        if left >= 0 and right < count and (order := rank(parts[left], parts[right])) is not None:
            heapq.heappush(queue, (order, left, right, parts[left] + parts[right]))

    for place in range(1, count):
        offer(place - 1, place)
    while queue:
        _, left, right, joined = heapq.heappop(queue)
        if not parts[left] or not parts[right] or parts[left] + parts[right] != joined:
            continue  # one of the two has become part of another since
        parts[left], parts[right] = joined, ""
        behind[left] = behind[right]
        if behind[right] < count:
            before[behind[right]] = left
        offer(before[left], left)
        offer(left, behind[left])
    return [part for part in parts if part]
