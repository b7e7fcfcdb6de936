"""What a tensor is computed from: the records that tell whether a fault was made there or only carried on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile

from tracetui.analysis.diff.given import Given, given_otherwise
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.health.input_names import InputNames, input_names
from tracetui.analysis.mapping.names import execution_rank
from tracetui.recording.record import INPUT, layer_of, plain_site

_LEAPS = {
    ".self_attn.o_proj": (".self_attn:v", ".self_attn.v_proj"),
    ".self_attn": (".self_attn.v_proj", ".input_layernorm"),
}
"""By place, records to use as an input only if no nearer one exists: attention lies between."""
_OPTIONAL = (
    ":mask",
    ":sinks",
    ":position_bias",
    ":selection_bias",
    ".shared_experts",
    ".shared_expert_gate",
    ".kv_a_proj_with_mqa",
    "rotary_emb",
    "rotary_emb#1",
)
"""Ends of inputs that some models don't have: where nobody recorded one, it is taken for absent."""
_COPIES = (":input", ".self_attn", ".self_attn:v", ".mlp", ".self_attn:kv_latent")
"""Places that hold the very values of what feeds them."""
_CODES = {
    ".self_attn.o_proj": ".self_attn",
    ".self_attn:q": ".self_attn",
    ".self_attn:k": ".self_attn",
    ".self_attn:v": ".self_attn",
    ".mlp.down_proj": ".mlp",
    ".mlp": ".mlp",
    ":attn_residual": "",
    "": "",
}
"""By place, the module that computes between it and its inputs."""
_PASSED_IN = (":mask", ":position_bias")
"""What attention is given and no recorded tensor tells of: the model makes it of lengths and positions."""
_SUMS = (":attn_residual",)
"""What some families add a norm of, and others do not: a run that was traced tells."""
Sites = Mapping[str, SiteDiff]


@dataclass(frozen=True, slots=True)
class Feeds:
    """The inputs of a site."""

    found: tuple[SiteDiff, ...]
    """What was recorded of them on both sides."""
    missing: bool
    """Whether an input that must exist was not compared."""
    between: tuple[str, ...] = ()
    """What lies between these and this one, and was recorded on one side only."""
    gap: bool = False
    """Whether anything lies between that was not compared."""
    code: str = ""
    """The module whose own code computes the site, or the sum it belongs to, from its inputs; empty where there is none
    between them."""
    given: Given | None = None
    """What each side gave the module, where that is another tensor."""

    @property
    def agree(self) -> bool:
        alike = bool(self.found) and not self.missing and all(fed.outcome is Outcome.SAME for fed in self.found)
        return alike and self.given is None

    @property
    def direct(self) -> bool:
        """Whether these are all that the site is made of, with nothing between."""
        return not (self.gap or self.code or self.missing)


def feeds(comparison: Comparison, site: SiteDiff, sites: Sites | None = None) -> Feeds:
    """The inputs of a site: as the run recorded them, else by their names, else what its parent computed just before.

    `sites` are the comparison's sites by name, for callers that ask often.
    """
    by_site = sites_by_name(comparison) if sites is None else sites
    search = _FeedSearch(comparison, by_site)
    made = search.made_of(site.site)
    found = _before(comparison, site) if made is None else search.of(site.site, made)
    if site.outcome is not Outcome.DIFFERENT or not found.agree:
        return found
    return replace(found, given=given_otherwise(comparison, site, found.found))


@dataclass(frozen=True, slots=True)
class _MadeOf:
    """What a site is made of, and in whose code."""

    wanted: InputNames
    code: str
    whole: bool = True
    copied: bool = False
    named: bool = False
    """Whether its name alone tells that: what enters a layer may be more than what the one before it returned."""


class _FeedSearch:
    """Goes back from a site to the nearest that were compared, through what only one side recorded."""

    def __init__(self, comparison: Comparison, by_site: Sites) -> None:
        self._alone = comparison.alignment.alone
        self._origins = comparison.origins
        self._by_site = by_site
        self._found: dict[str, SiteDiff] = {}
        self._passed: set[str] = set()
        self._copies: set[str] = set()
        self._codes: dict[str, None] = {}
        self._whole = True

    def made_of(self, site: str) -> _MadeOf | None:
        """What a site is made of; None if nothing is known of it."""
        names = input_names(site, layer_of(site), self._by_site)
        if names == () or plain_site(site).endswith(_PASSED_IN):
            return _MadeOf((), "")
        told = self._origins.of(site)
        if told is not None:
            return _MadeOf(tuple((name,) for name in told.sites), told.code, told.whole, told.copied)
        known = names is not None and not site.endswith(_SUMS) and all(self._known(one) for one in names)
        if not known and (told := self._origins.of_role(site)) is not None:
            return _MadeOf(tuple((name,) for name in told.sites), told.code, told.whole)
        if names is None:
            return None
        entered = any(plain_site(name) == f"{plain_site(site)}:{INPUT}" for one in names for name in one)
        return _MadeOf(names, "" if entered else _code(site), named=True)

    def _known(self, names: tuple[str, ...]) -> bool:
        optional = names[0].split("@")[0].endswith(_OPTIONAL)
        return optional or any(name in self._by_site or name in self._alone for name in names)

    def of(self, site: str, made: _MadeOf) -> Feeds:
        missing = False
        self._whole = made.whole
        for place, names in enumerate(made.wanted):
            known = len(self._found)
            self._follow(site, names)
            # The first input always exists.
            missing = missing or (place == 0 and len(self._found) == known)
        passed = [name for name in self._passed if name not in self._copies]
        between = sorted((name for name in passed if name in self._alone), key=execution_rank)
        found = tuple(fed for name, fed in self._found.items() if name != site)
        code = made.code or _around(self._codes)
        return Feeds(found, missing and not found, tuple(between), bool(passed) or not self._whole, code)

    def _follow(self, site: str, names: tuple[str, ...]) -> None:
        waiting = [(site, names)]
        while waiting:
            after, names = waiting.pop()
            nearest = next((name for name in names if name in self._by_site or name in self._alone), "")
            if nearest in self._by_site and not _leaps(after, nearest):
                self._found[nearest] = self._by_site[nearest]
            elif nearest in self._alone or not names[0].split("@")[0].endswith(_OPTIONAL):
                through = nearest if nearest in self._alone else names[0]
                waiting += [(through, inputs) for inputs in reversed(self._through(through))]

    def _through(self, site: str) -> InputNames:
        """The inputs of a site that was not compared; none of one that was gone through before."""
        if site in self._passed:
            return ()
        self._passed.add(site)
        made = self.made_of(site)
        if made is None:
            return ()
        if made.copied or (_place(site) in _COPIES and (made.named or _place(site) != f":{INPUT}")):
            self._copies.add(site)
        self._whole = self._whole and made.whole
        if made.code:
            self._codes[made.code] = None
        return made.wanted


def _around(codes: Iterable[str]) -> str:
    """The module around all of these; empty for none."""
    paths = [code.split(".") for code in codes]
    common = [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))]
    # A list of layers runs no code: it is the module that has the list.
    listed = any(path[len(common) : len(common) + 1] and path[len(common)].isdigit() for path in paths)
    return ".".join(common[:-1] if listed else common)


def _code(site: str) -> str:
    """In whose code a site of transformers' is made, or what it is given."""
    place = _CODES.get(_place(site))
    if place is None and _place(site).startswith(".mlp.shared_") and site.partition("@")[0].endswith(".down_proj"):
        return plain_site(site).rpartition(".")[0]
    return "" if place is None else f"model.layers.{layer_of(site)}{place}"


def _leaps(site: str, name: str) -> bool:
    return name.endswith(_LEAPS.get(_place(site), ()))


def _place(site: str) -> str:
    return plain_site(site).removeprefix(f"model.layers.{layer_of(site)}")


def sites_by_name(comparison: Comparison) -> dict[str, SiteDiff]:
    """What was compared, by the site's name."""
    return {found.site: found for found in comparison.sites}


def _before(comparison: Comparison, site: SiteDiff) -> Feeds:
    """The last thing that was computed inside it, or the records just before it."""
    inside = comparison.last_inside(site)
    if inside is not None:
        return Feeds((inside,), missing=False, gap=True, code=site.site.partition(":")[0])
    place = comparison.places[site.site]
    earlier = comparison.sites[max(place - 1, 0) : place]
    return Feeds(earlier, missing=not earlier, gap=True, code=site.pair.record.parent)
