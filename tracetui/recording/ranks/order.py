"""The one order of records that several ranks recorded each in part."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence


def merged_order(sequences: Sequence[Sequence[str]]) -> Iterator[str]:
    """Every key once, in an order that each of the sequences keeps; of two that none orders the earlier sequence's.

    Where sequences contradict each other, the first one's is kept.
    """
    waiting = Counter(key for keys in sequences for key in keys)
    at = [0] * len(sequences)
    at_front: dict[str, list[int]] = {}
    ready: list[int] = []
    done: set[str] = set()

    def advance(number: int) -> None:
        """Put a sequence's next key in front; it is ready when it stands in front of all that have it."""
        keys = sequences[number]
        while at[number] < len(keys) and keys[at[number]] in done:
            at[number] += 1
        if at[number] < len(keys):
            key = keys[at[number]]
            holders = at_front.setdefault(key, [])
            holders.append(number)
            if len(holders) == waiting[key]:
                heapq.heappush(ready, min(holders))

    for number in range(len(sequences)):
        advance(number)
    while at_front:
        number = heapq.heappop(ready) if ready else min(min(holders) for holders in at_front.values())
        key = sequences[number][at[number]]
        holders = at_front.pop(key)
        done.add(key)
        yield key
        for holder in holders:
            at[holder] += 1
            advance(holder)
