"""What a comparison says of a planted mistake, held against what the mistake is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import tracetui
from tests.truth.decoder import Decoder
from tests.truth.families import IDS, Family
from tests.truth.fault import Fault
from tests.truth.forward import apart, dump, dump_passes
from tracetui.recording.record import plain_site
from tracetui.recording.value import Array

_LISTS = ("scores",)
"""Hints that name nothing but what is possible."""
_SAME_PLACE = {
    ".self_attn": ".self_attn.o_proj",
    ".mlp": ".mlp.down_proj",
    ".mlp:experts": ".mlp.gate#2",
    ".mlp:routing_weights": ".mlp.gate#1",
    "lm_head": "logits",
}
_SEEN, _SURE = 1e-5, 2e-4
"""How far rows are apart, relative, that may be found to differ, and that must be."""


class Share(Enum):
    RIGHT = "right"
    SILENT = "silent"
    WRONG = "WRONG"


@dataclass(frozen=True)
class Judgement:
    """How one comparison did, and why."""

    share: Share
    because: str
    text: str
    """All that was said."""


def judged(family: Family, fault: Fault, kind: str) -> Judgement | None:
    """What is said of a mistake in one kind of dump; None where the mistake changes nothing in it."""
    wrong, right = (_dumped(decoder, fault, kind) for decoder in (fault.change(family.decoder), family.decoder))
    own_name = family.decoder.own_name
    firsts = [own_name(site) for site in _firsts(wrong, right)]
    if not firsts:
        return None
    diff = tracetui.diff(wrong, family.reference)
    share, because = _judged(diff, fault, kind, firsts, own_name)
    return Judgement(share, because, diff.explained)


def _dumped(decoder: Decoder, fault: Fault, kind: str) -> dict[str, Array]:
    return dump_passes(decoder, IDS, kind, fault.prompt) if fault.prompt else dump(decoder, IDS, kind)


def _firsts(wrong: dict[str, Array], right: dict[str, Array]) -> list[str]:
    """The sites that may be the first to differ: up to the one that must; none where nothing does."""
    firsts = []
    for site in wrong:
        distance = apart(wrong[site], right[site]) if site in right else 0.0
        firsts += [site] if distance > _SEEN else []
        if distance > _SURE:
            # What one module returns has no order of its own.
            return firsts + [other for other in wrong if plain_site(other) == plain_site(site)]
    return []


def _alike(site: str) -> str:
    end = next((end for end in _SAME_PLACE if site.endswith(end)), "")
    return site.removesuffix(end) + _SAME_PLACE[end] if end else site


def _judged(
    diff: tracetui.Diff, fault: Fault, kind: str, firsts: list[str], own_name: Callable[[str], str]
) -> tuple[Share, str]:
    finding = diff.report.finding
    if finding is None:
        return Share.SILENT, "nothing differs"
    site, place = own_name(finding.site.site), fault.site
    if _alike(site) not in map(_alike, firsts):
        return Share.WRONG, f"first is {site}, not {firsts[-1]}"
    hints = {hint.name: f"{hint.title} {hint.evidence}" for hint in finding.hints}
    if len(finding.hints) > 1:
        return Share.WRONG, f"hints that may exclude one another: {', '.join(hints)}"
    false = [name for name in hints if name not in fault.hints.split()]
    if false:
        return Share.WRONG, f"hint {false[0]}"
    if any(name in _LISTS and not re.search(fault.topic, text, re.IGNORECASE) for name, text in hints.items()):
        return Share.WRONG, "the list of what is possible lacks it"
    here = _alike(site) == _alike(place)
    if finding.at_fault and not finding.feeds.gap and not here:
        return Share.WRONG, f"made at {site}, not between"
    text = " ".join(hints.values())
    named = bool(hints or not fault.words) and all(re.search(word, text, re.IGNORECASE) for word in fault.words)
    if named:
        return Share.RIGHT, ""
    if kind in fault.named_in:
        return Share.SILENT, f"not named: {', '.join(hints) or 'no hint'}"
    between = {_alike(own_name(name)) for name in finding.feeds.between}
    if here or _alike(place) in between:
        return Share.RIGHT, ""
    return Share.SILENT, f"{place} is not among what lies between"
