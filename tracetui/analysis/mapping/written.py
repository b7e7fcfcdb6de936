"""Proposed names as a map file, which says the same of every layer at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from tracetui.analysis.mapping.fuzzy import Proposal

_NUMBERED = {"n": re.compile(r"(?<=layers\.)\d{1,6}(?![^.:@#])"), "e": re.compile(r"(?<=experts\.)\d{1,6}(?![^.:@#])")}
"""Where transformers' names have a layer's and an expert's number."""
_NUMBER = re.compile(r"\d+")


def map_lines(proposals: Sequence[Proposal]) -> Iterator[str]:
    """A map for `--map`, in which one table stands for all layers that have its names; each with what speaks for it."""
    yield "# Names that may mean the same: look through them before you trust what they say."
    tables: dict[tuple[str, str], list[Proposal]] = {}
    for proposal in proposals:
        tables.setdefault(_general(proposal.a, proposal.b), []).append(proposal)
    for (a, b), found in tables.items():
        count = sum(proposal.alike for proposal in found)
        speaks = f"the same norm, mean and extremes in {count} of {len(found)}" if count else "names and order alone"
        yield ""
        yield f"[[site]]  # {speaks}"
        yield f"a = {_text(a)}"
        yield f"b = {_text(b)}"


def _general(a: str, b: str) -> tuple[str, str]:
    """Both names with `{n}` and `{e}` for the numbers of layer and expert, where it is clear which these are."""
    for blank, place in _NUMBERED.items():
        known = place.search(a), place.search(b)
        number = next((int(found[0]) for found in known if found), None)
        if number is not None:
            filled = [_filled(name, found, number, blank) for name, found in zip((a, b), known, strict=True)]
            if all(filled):
                a, b = filled
    return a, b


def _filled(name: str, known: re.Match[str] | None, number: int, blank: str) -> str:
    """The name with the blank for its number; empty where it has the number nowhere, or twice."""
    found = [known] if known else [each for each in _NUMBER.finditer(name) if int(each[0]) == number]
    if len(found) != 1:
        return ""
    return f"{name[: found[0].start()]}{{{blank}}}{name[found[0].end() :]}"


def _text(name: str) -> str:
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
