"""In words: where a difference was made, and whose own code lies there."""

from __future__ import annotations

from collections.abc import Iterator

from tracetui.analysis.diff.feeds import Feeds
from tracetui.analysis.diff.finding import Finding
from tracetui.analysis.diff.given import Given
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.own_parameters import own_parameters
from tracetui.recording.record import INPUT, layer_of
from tracetui.text import spans, visible
from tracetui.views.diff.format import listed

_NEAREST = 4


def verdict_end(finding: Finding) -> str:
    """How the verdict goes on after the first site, all that feeds it agreeing."""
    feeds, site = finding.feeds, finding.site
    if feeds.direct and _sure(finding):
        return ", whose inputs agree: the fault is there"
    if not feeds.code and not feeds.between:
        return ", whose inputs agree: the fault is there or just before"
    if not feeds.code:
        return _between_seen(feeds, site.site)
    if feeds.code == site.site and _given_unseen(feeds):
        return _between_seen(feeds, site.site)
    if feeds.code == site.site and feeds.gap:
        return ", made in its own code or by what it calls: all that was recorded on both sides before agrees"
    if feeds.code == site.site:
        return ", made in its own code: all that was recorded of what it is made of agrees"
    between = f"between {_names(feeds, feeds.code)} and {_end(site, feeds.code)}"
    if made_by_code(site) and not feeds.gap:
        return f", made in {_whose(feeds.code)} own code, {between}"
    if not made_by_code(site):
        return f", made {between}: {_in_code(feeds)} or at {_end(site, feeds.code)}"
    return f", made {between}, in {_whose(feeds.code)} own code or what it calls there"


def _between_seen(feeds: Feeds, site: str) -> str:
    return f", made there or in what one side alone recorded between {_names(feeds, site)} and it"


def made_lines(comparison: Comparison, finding: Finding) -> Iterator[str]:
    """The same for the list of what feeds the site."""
    feeds, site = finding.feeds, finding.site
    if feeds.direct and _sure(finding):
        yield "its inputs agree: the fault is made here"
        return
    if not feeds.code:
        yield f"{'these' if feeds.between else 'its inputs'} agree: the fault is made here or on the way here"
    elif feeds.code == site.site and not feeds.gap:
        yield "what it is made of agrees: the fault is made in its own code"
    elif feeds.code == site.site and _given_unseen(feeds):
        yield "these agree: the fault is made here or on the way here"
    elif made_by_code(site) and not feeds.gap:
        yield f"these agree: made between them and here, in {_whose(feeds.code)} own code"
    else:
        yield f"these agree: the fault is made here or on the way here, {_in_code(feeds)}"
    yield from _unseen(comparison, feeds)
    code = "" if feeds.code == site.site and _given_unseen(feeds) else feeds.code
    if own := _own(comparison, code):
        yield f"that code alone reads {visible(', '.join(own))}"


def given_line(given: Given) -> str:
    """What each side gave a module, for the list of what feeds it."""
    a, b = visible(given.a), visible(given.b)
    if given.sure:
        return f"A gives it {a}, B {b}, which is another tensor: no fault of what computes here"
    return f"A has {a} just before it, B gives it {b}: if A gave it that, there is no fault here"


def given_end(given: Given) -> str:
    """The same for the verdict."""
    a, b = visible(given.a), visible(given.b)
    if given.sure:
        return f", which A gives {a}, and B {b}: the fault is in what calls it"
    return f", which B gives {b}, and A perhaps {a}: the fault is there, or in what calls it"


def short_end(finding: Finding) -> str:
    """The same in a few words."""
    feeds = finding.feeds
    if feeds.direct:
        return " · inputs agree: made here"
    if feeds.code and not feeds.gap and (feeds.code == finding.site.site or made_by_code(finding.site)):
        return f" · made in {_whose(feeds.code.removeprefix('model.'))} own code"
    return " · made here or before"


def where_made(site: SiteDiff, feeds: Feeds) -> str:
    """In a few words, where a difference is made of which not all that is in between was compared."""
    if feeds.direct:
        return f"at {visible(site.site)}"
    names = _names(feeds, feeds.code or site.site)
    return f"between {names} and {visible(site.site)}" if names else f"at {visible(site.site)} or before it"


def _sure(finding: Finding) -> bool:
    """Whether both runs told what a module was given, or it was recorded, or the output itself shows the fault."""
    records = (finding.site.pair.a.record, finding.site.pair.b.record)
    entered = any(fed.site.partition("@")[0].endswith(f":{INPUT}") for fed in finding.feeds.found)
    return bool(finding.hints) or entered or all(record.inputs for record in records)


def made_by_code(site: SiteDiff) -> bool:
    """Whether a site is what a module's own code made, and no module returned it."""
    return bool(site.pair.record.role)


def _given_unseen(feeds: Feeds) -> bool:
    """Whether anything that one side alone recorded was made outside the module, and may have been given to it."""
    inside = (f"{feeds.code}.", f"{feeds.code}:", f"{feeds.code}#")
    return any(not name.startswith(inside) for name in feeds.between)


def _names(feeds: Feeds, code: str) -> str:
    """What agrees, the nearest of it, by the names below the module whose code it is."""
    names = list(dict.fromkeys(_below(fed.site, code) for fed in feeds.found))
    more = len(names) - _NEAREST
    shown = ", ".join(names[-_NEAREST:])
    return visible(f"{shown} (and {more} more)" if more > 0 else shown)


def _end(site: SiteDiff, code: str) -> str:
    """The site below the module; of what a module was given, that module."""
    return visible(_below(site.site, code).removesuffix(f":{INPUT}"))


def _below(site: str, code: str) -> str:
    if site.startswith((f"{code}.", f"{code}:")):
        return site[len(code) :].lstrip(".")
    return site.removeprefix("model.")


def _whose(code: str) -> str:
    return f"{visible(code)}'s"


def _in_code(feeds: Feeds) -> str:
    """Where modules that one side alone recorded lie between, the fault may be in any of them."""
    if not any(name.startswith(f"{feeds.code}.") and ":" not in name for name in feeds.between):
        return f"in {_whose(feeds.code)} own code"
    layers = {layer for name in feeds.between if (layer := layer_of(name)) is not None}
    if len(layers) > 1 and layer_of(feeds.code) is not None:
        return f"within layers {spans(sorted(layers))}"
    return f"within {visible(feeds.code)}"


def _own(comparison: Comparison, code: str) -> tuple[str, ...]:
    paths = (code, code.removeprefix("model."))
    found = (own_parameters(trace, path) for trace in (comparison.b, comparison.a) for path in paths)
    return next((names for names in found if names), ()) if code else ()


def _unseen(comparison: Comparison, feeds: Feeds) -> Iterator[str]:
    """What one side would have to record, too, for the fault to be found."""
    for side, other in (("A", "B"), ("B", "A")):
        names = [name for name in feeds.between if comparison.alignment.alone[name] == side]
        if names:
            yield f"what lies between is in {side} only: {listed(names)}. Record it in {other} too"
