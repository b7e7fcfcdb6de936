"""What both sides recorded of one router: its scores, what else decides, the choice and the weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.prepare import MAX_NUMEL, window
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.recording.record import plain_site
from tracetui.recording.value import is_kept

ROLES = ("router_logits", "router_scores", "selection_bias", "selection_scores", "experts", "routing_weights")
_PART = re.compile(r"\.(?:gate|router|classifier|wg)(?:\.\w+)?(?:#[12])?$")
_PLACES = {
    "router_logits": (":router_logits", ".gate", ".router", ".router.layer"),
    "router_scores": (":router_scores",),
    "selection_bias": (":selection_bias",),
    "selection_scores": (":selection_scores",),
    "experts": (":experts", ".gate#2", ".router#2"),
    "routing_weights": (":routing_weights", ".gate#1", ".router#1"),
}
"""By role, where in its block it may be recorded; the first that is there counts."""


@dataclass(frozen=True, eq=False, slots=True)
class RouterSide:
    """One side's; None for what it lacks. Rows are the tokens that both prompts have in common, padding included."""

    logits: Numbers | None = None
    """[N,E]"""
    scores: Numbers | None = None
    """[N,E]"""
    bias: Numbers | None = None
    """[E]"""
    selection: Numbers | None = None
    """[N,E]: what the choice was made from, masked experts -inf."""
    experts: Numbers | None = None
    """[N,A]: whole numbers."""
    weights: Numbers | None = None
    """[N,A]: of these experts."""

    @property
    def raw(self) -> Numbers | None:
        """What all else is made of: logits, else scores."""
        return self.scores if self.logits is None else self.logits


@dataclass(frozen=True, eq=False, slots=True)
class RouterSides:
    """One block's router in one call."""

    block: str
    a: RouterSide
    b: RouterSide
    sites: Mapping[str, SiteDiff]
    """By role, what was compared."""
    config: Mapping[str, object]
    """Of both runs; B's where they differ."""

    @property
    def raw(self) -> tuple[Numbers, Numbers] | None:
        """Both sides' logits, or scores where either lacks logits: [N,E] each."""
        for one, other in ((self.a.logits, self.b.logits), (self.a.scores, self.b.scores)):
            if one is not None and other is not None and one.shape == other.shape:
                return one, other
        return None

    @property
    def raw_site(self) -> SiteDiff | None:
        """Where these were compared."""
        both = self.a.logits is not None and self.b.logits is not None
        return self.sites.get("router_logits" if both else "router_scores")

    @property
    def raw_agrees(self) -> bool:
        return self.raw is not None and self.raw_site is not None and self.raw_site.outcome is Outcome.SAME

    @property
    def unit(self) -> float:
        """By how much rounding moves a score, relative."""
        site = self.raw_site
        return 2e-5 if site is None or site.tolerance is None else max(site.tolerance.rtol, 1e-6)


def block_of(site: str) -> str:
    """The path of the block that a router's record belongs to; empty for any other record."""
    plain = site.partition("@")[0]
    path, _, role = plain_site(plain).partition(":")
    if role:
        return path if role in ROLES else ""
    found = _PART.search(plain)
    return plain[: found.start()] if found else ""


def router_sides(comparison: Comparison, site: str) -> RouterSides | None:
    """What both sides have of the router that a site belongs to; None for a site of no router."""
    block, call = block_of(site), site.partition("@")[2]
    if not block:
        return None
    compared = {found.site: found for found in comparison.sites}
    named = _by_site(comparison)
    sites: dict[str, SiteDiff] = {}
    values: tuple[dict[str, Numbers], dict[str, Numbers]] = ({}, {})
    for role, places in _PLACES.items():
        names = [f"{block}{place}@{call}" if call else f"{block}{place}" for place in places]
        pairs = [compared[name] for name in names if name in compared]
        if pairs:
            sites[role] = pairs[0]
        for side in (0, 1):
            found = next((at for name in names if (at := named.get(name, (None, None))[side]) is not None), None)
            read = None if found is None else _read(comparison, side, found, compared)
            if read is not None and read.ndim == (1 if role == "selection_bias" else 2):
                values[side][role] = read
    a, b = (_side(found) for found in values)
    return RouterSides(block, a, b, sites, {**comparison.a.run.config, **comparison.b.run.config})


def either_side(comparison: Comparison, call: str) -> Callable[[str], Numbers | None]:
    """What gives a site's numbers in one call, tokens flat: A's, or those of the side that alone has it."""
    named = _by_site(comparison)
    compared = {found.site: found for found in comparison.sites}

    def read(site: str) -> Numbers | None:
        a, b = named.get(f"{site}@{call}" if call else site, (None, None))
        if a is not None:
            return _read(comparison, 0, a, compared)
        return None if b is None else _read(comparison, 1, b, compared)

    return read


def blocks_below(comparison: Comparison, site: str) -> list[str]:
    """The paths of blocks with experts that a module's plain site is, or holds."""
    names = {name.partition("@")[0] for name in _by_site(comparison)}
    owners = (name.removesuffix(".experts") for name in names if name.endswith(".experts"))
    return sorted(owner for owner in owners if owner == site or owner.startswith(f"{site}."))


def _by_site(comparison: Comparison) -> dict[str, tuple[Named | None, Named | None]]:
    alignment = comparison.alignment
    return {
        **{named.site: (named, None) for named in alignment.only_a},
        **{named.site: (None, named) for named in alignment.only_b},
        **{pair.site: (pair.a, pair.b) for pair in alignment.pairs},
    }


def _read(comparison: Comparison, side: int, named: Named, compared: Mapping[str, SiteDiff]) -> Numbers | None:
    """A side's numbers as far as the prompts are the same, tokens flat: [N,…]; None where they weren't kept."""
    trace = (comparison.a, comparison.b)[side]
    value = trace.value(named.record)
    if not is_kept(value) or named.record.numel > MAX_NUMEL:
        return None
    found = named.layout.apply(value.read())
    site = compared.get(named.site)
    if side == 1 and site is not None and site.distance is not None:
        found = site.layout.apply(found)
    if "c" in found.dtype.kind or not found.size:
        return None
    found = window(comparison.a, comparison.b, comparison.preface.common).shortened(named.record, found)
    return found.astype(np.float64).reshape(-1, found.shape[-1]) if found.ndim > 1 else found.astype(np.float64)


def _side(values: Mapping[str, Numbers]) -> RouterSide:
    logits, scores, selection = (values.get(role) for role in ("router_logits", "router_scores", "selection_scores"))
    experts, weights = values.get("experts"), values.get("routing_weights")
    wide = next((found for found in (logits, scores, selection) if found is not None), None)
    if experts is not None and not _are_choices(experts, wide):
        experts = None
    if experts is None or weights is None or weights.shape != experts.shape:
        weights = None
    bias = values.get("selection_bias")
    if bias is not None and (wide is None or len(bias) != wide.shape[1]):
        bias = None
    return RouterSide(logits, scores, bias, selection, experts, weights)


def _are_choices(experts: Numbers, wide: Numbers | None) -> bool:
    """Whether these are numbers of experts [N,A] that can be looked up in scores [N,E]."""
    if not np.isfinite(experts).all() or (experts != np.round(experts)).any() or experts.min() < 0:
        return False
    return wide is None or (len(wide) == len(experts) and experts.max() < wide.shape[1])
