"""Byte-pair training: which tokens a text makes, in the order of their ranks."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping

from tracetui.errors import InputError


def train(pieces: Mapping[bytes, int], size: int) -> list[bytes]:
    """The 256 bytes and the merges learnt from `pieces` (with how often each occurs), `size` tokens in all.

    Candidates are counted by the bytes they make, not by their two halves, because an encoder that knows ranks only
    merges by these. The most frequent comes first, of equals the one that sorts first, so that the result depends
    on the counts alone. Raises InputError if the text has too few different pieces.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    candidates = _Candidates(pieces)
    known = set(tokens)
    while len(tokens) < size:
        best = candidates.pop()
        if best is None:
            raise InputError(f"the text is too small for {size} tokens, got {len(tokens)}")
        if best not in known:
            candidates.merge(best)
            tokens.append(best)
            known.add(best)
    return tokens


class _Candidates:
    """The pieces as they are merged so far, and every pair of neighbours in them by the bytes it would make."""

    def __init__(self, pieces: Mapping[bytes, int]) -> None:
        self._parts = [[bytes([byte]) for byte in piece] for piece in pieces]
        self._weights = list(pieces.values())
        self._counts: Counter[bytes] = Counter()
        self._places: defaultdict[bytes, set[int]] = defaultdict(set)
        for place in range(len(self._parts)):
            self._count(place, 1)
        self._heap = [(-count, pair) for pair, count in self._counts.items()]
        heapq.heapify(self._heap)

    def pop(self) -> bytes | None:
        """The most frequent pair; None when there is none left. Counts in the heap may be old: those go back."""
        while self._heap:
            negative, pair = heapq.heappop(self._heap)
            count = self._counts[pair]
            if count == -negative:
                return pair
            if count:
                heapq.heappush(self._heap, (-count, pair))
        return None

    def merge(self, pair: bytes) -> None:
        changed: set[bytes] = set()
        for place in sorted(self._places.pop(pair)):
            self._count(place, -1)
            self._parts[place] = _merged(self._parts[place], pair)
            changed.update(self._count(place, 1))
        for neighbour in sorted(changed):
            heapq.heappush(self._heap, (-self._counts[neighbour], neighbour))

    def _count(self, place: int, sign: int) -> set[bytes]:
        """Add or take away the pairs of one piece; returns them."""
        parts, weight = self._parts[place], self._weights[place]
        pairs = [left + right for left, right in itertools.pairwise(parts)]
        for pair in pairs:
            self._counts[pair] += sign * weight
            if sign > 0:
                self._places[pair].add(place)
        return set(pairs)


def _merged(parts: list[bytes], pair: bytes) -> list[bytes]:
    merged: list[bytes] = []
    place = 0
    while place < len(parts):
        together = b"".join(parts[place : place + 2])
        step = 2 if together == pair and len(parts) > place + 1 else 1
        merged.append(together if step == 2 else parts[place])
        place += step
    return merged
