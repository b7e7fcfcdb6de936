"""Noise or bug, in words: what rounding explains, and the sites where it doesn't."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.cells import cell_len

from tracetui.analysis.diff.rounding.noise import FAR, NoiseReport, SiteNoise, Verdict
from tracetui.text import visible
from tracetui.views.diff.effects import by_edit
from tracetui.views.diff.format import end, entry, number, wrapped
from tracetui.views.diff.made import where_made

_HEAD = f"{'difference':>10} {'noise':>9} {'times':>9} {'inputs':>9}"


def noise_lines(noise: NoiseReport, width: int, most: int | None = None) -> Iterator[str]:
    """The verdict, each suspect with its numbers, and how far above noise the other sites are, the farthest first."""
    told = f"Noise or bug: {noise.side} was run again in float64, with the same rounded weights"
    later = f"; over its prompt alone: {noise.later:,} sites of later passes are not measured" if noise.later else ""
    yield from wrapped(told + later, width, "", "  ")
    for suspect in noise.suspects:
        yield from entry("suspect", [suspect.site.site, site_words(suspect)], width)
    yield from entry("so", [noise_verdict(noise)], width)
    shown = [found for found in noise.sites if found.verdict is not Verdict.WITHIN]
    if not shown:
        return
    yield f"  {end('beyond the noise', width - 3 - cell_len(_HEAD))} {_HEAD}".rstrip()
    for found in shown[:most]:
        yield _row(found, width)
    if most is not None and len(shown) > most:
        yield f"  and {len(shown) - most:,} more"


def noise_verdict(noise: NoiseReport) -> str:
    """One sentence: rounding or not, and where."""
    counts = {verdict: sum(found.verdict is verdict for found in noise.sites) for verdict in Verdict}
    if not noise.sites:
        return "nothing could be measured: no site was recorded in floats by both runs"
    within = f"{counts[Verdict.WITHIN]:,} of {len(noise.sites):,} sites are within {FAR:g} times the noise"
    if noise.suspects:
        where = ", ".join(where_made(found.site, found.feeds) for found in noise.suspects)
        carried = f"; {counts[Verdict.CARRIED]:,} only carry it on" if counts[Verdict.CARRIED] else ""
        return f"a fault, no rounding, {where}{carried}; {within}"
    edits = [found for found in noise.sites if found.verdict is Verdict.EDITED]
    if edits:
        made = ", ".join(f"{visible(found.site.site)} ({by_edit(found.edit)})" for found in edits)
        return f"no fault: it is made at {made}; {counts[Verdict.CARRIED]:,} carry it on; {within}"
    if products := [found.site.site for found in noise.sites if found.verdict is Verdict.ROUNDED]:
        made = f"llama.cpp rounds what it multiplies at {visible(', '.join(products))}"
        return f"no fault: {made}; {counts[Verdict.CARRIED]:,} carry it on; {within}"
    untold = counts[Verdict.UNTOLD]
    if untold:
        return (
            f"{within}; of {untold:,} beyond it can't be told whether they carry it on: what feeds them wasn't compared"
        )
    if counts[Verdict.CARRIED]:
        return f"no suspect: {within}, and the others are about as far above it as what feeds them"
    return f"no suspect: rounding explains it all, {within}"


def noise_entry(found: SiteNoise | None, width: int) -> list[str]:
    """What noise says of one site, as an entry of its finding; nothing where it wasn't measured."""
    if found is None:
        return []
    return entry("suspect" if found.verdict is Verdict.SUSPECT else "noise", [site_words(found)], width)


def site_words(found: SiteNoise) -> str:
    """`0.25 is 13,000 times the rounding noise here (1.9e-05), what feeds it 1.1 times: made here, no rounding`."""
    apart = found.site.distance.furthest if found.site.distance else math.nan
    fed = _fed(found.fed)
    told = {
        Verdict.SUSPECT: f"the difference is made here{_or_before(found)}, and is no rounding",
        Verdict.EDITED: by_edit(found.edit),
        Verdict.ROUNDED: "llama.cpp rounds what it multiplies here, which is no fault",
        Verdict.CARRIED: "it only carries on what comes in",
        Verdict.WITHIN: "rounding explains it",
        Verdict.UNTOLD: "what feeds it was not compared",
    }[found.verdict]
    if math.isinf(found.times):
        return f"one side alone has NaN or infinities here{fed}: {told}"
    noise = f"{_times(found.times)} the rounding noise here ({number(found.rounding)})"
    return f"{number(apart)} is {noise}{fed}: {told}"


def _or_before(found: SiteNoise) -> str:
    """A site is only blamed where nothing lies between it and what feeds it."""
    if found.feeds.direct:
        return ""
    code = found.feeds.code
    return f" or on the way here, in {visible(code)}'s own code" if code else " or on the way here"


def _fed(times: float | None) -> str:
    if times is None:
        return ""
    if math.isinf(times):
        return "; so has what feeds it, or it chose other experts"
    return f"; what feeds it is {_times(times)} the noise there" if times else "; nothing that feeds it differs"


def _times(times: float) -> str:
    return f"{times:,.0f} times" if times >= 10 else f"{times:.2g} times"


def _fed_cell(found: SiteNoise) -> str:
    """How far above noise its inputs are; in a word where that is beyond any measure."""
    if found.fed is None:
        return "–"
    if math.isfinite(found.fed):
        return number(found.fed)
    return "NaN, Inf" if math.isinf(found.times) else "choice"


def _row(found: SiteNoise, width: int) -> str:
    distance = found.site.distance
    apart = math.nan if distance is None else distance.furthest
    times = "NaN, Inf" if math.isinf(found.times) else number(found.times)
    right = f"{number(apart):>10} {number(found.rounding):>9} {times:>9} {_fed_cell(found):>9}"
    mark = "◆" if found.verdict in (Verdict.SUSPECT, Verdict.EDITED, Verdict.ROUNDED) else " "
    return f"{mark} {end(found.site.site, width - 3 - len(right))} {right}".rstrip()
