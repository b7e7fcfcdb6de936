"""Pairs that can't be the same tensor: they are far apart, and all that follows agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracetui.analysis.diff.alignment.align import Pair
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.recording.record import is_layer

_FAR = 0.05
"""From what |a - b|/|b| on a difference is none that could get lost on the way."""
_AMBIGUOUS = ("norm",)
"""The last norm in Meta's code, and in llama.cpp's graph what there is before its weight."""

_ROLES = ("", "input", "attn_residual")
_AFTER = ("model.norm", "lm_head", "logits")


@dataclass(frozen=True, slots=True)
class WrongPair:
    """Two tensors that were taken for the same, by a name that may mean something else."""

    site: SiteDiff
    agrees: str
    """A site further on that both sides agree in."""


def without_wrong_pairs(comparison: Comparison) -> tuple[Comparison, tuple[WrongPair, ...]]:
    """The comparison without wrong pairs, and the pairs that were removed from it."""
    wrong = tuple(_wrong_pairs(comparison.sites))
    if not wrong:
        return comparison, ()
    pairs = [found.site.pair for found in wrong]
    gone = {id(pair) for pair in pairs}
    alignment = replace(
        comparison.alignment,
        pairs=tuple(pair for pair in comparison.alignment.pairs if id(pair) not in gone),
        only_a=(*comparison.alignment.only_a, *(replace(pair.a, site=pair.a.record.key) for pair in pairs)),
        only_b=(*comparison.alignment.only_b, *(replace(pair.b, site=pair.b.record.key) for pair in pairs)),
    )
    sites = tuple(site for site in comparison.sites if id(site.pair) not in gone)
    return replace(comparison, alignment=alignment, sites=sites), wrong


def _wrong_pairs(sites: Sequence[SiteDiff]) -> list[WrongPair]:
    """From the end on: the latest agreeing place of the residual stream acquits, or accuses, all before it."""
    found: list[WrongPair] = []
    agrees: dict[int, SiteDiff] = {}
    """By pass, the first of the stream's sites that agree after what is looked at."""
    for site in reversed(sites):
        pass_ = site.pair.record.pass_
        after = agrees.get(pass_)
        if after is not None and _by_guess(site) and _far(site) and _leads_to(site, after):
            found.append(WrongPair(site, after.site))
        elif site.outcome is Outcome.SAME and site.distance is not None and _is_stream(site):
            agrees[pass_] = site
        elif site.outcome is Outcome.DIFFERENT and _is_stream(site) and not _by_guess(site):
            agrees.pop(pass_, None)
    return found[::-1]


def _by_guess(site: SiteDiff) -> bool:
    """Whether a name that no table knows, or one that means several things, made the pair."""
    sides = (site.pair.a, site.pair.b)
    if any(named.record.site in _AMBIGUOUS for named in sides):
        return True
    return not _one_name(site.pair) and any(not named.naming for named in sides)


def _one_name(pair: Pair) -> bool:
    """Whether both sides call it the same, tables or not; the other's paths may begin otherwise."""
    return pair.a.record.key == pair.b.record.key or pair.a.naming == "stem"


def _far(site: SiteDiff) -> bool:
    return site.outcome is Outcome.DIFFERENT and site.distance is not None and not site.distance.relative < _FAR


def _is_stream(site: SiteDiff) -> bool:
    """Whether a difference anywhere before would be seen here."""
    record = site.pair.record
    if site.distance is not None and site.distance.by_statistics:
        return False
    around = record.layer is not None and is_layer(record.module)
    return (around and record.role in ("", "input", "attn_residual")) or record.site in (
        "model.norm",
        "lm_head",
        "logits",
    )


def _leads_to(site: SiteDiff, after: SiteDiff) -> bool:
    """Whether what a site holds goes into another one."""
    here, there = site.pair.record, after.pair.record
    if there.layer is None or here.layer is None:
        return there.layer is None or here.layer is None
    if there.layer == here.layer and there.role == "attn_residual":
        return "attn" in here.site or "attention" in here.site or here.role == "input"
    return there.layer > here.layer or (there.layer == here.layer and not there.role)
