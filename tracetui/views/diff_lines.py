"""A comparison of two traces as plain lines of text at most 80 cells wide."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len

from tracetui.analysis.axes import axes_of, describe
from tracetui.analysis.diff.align import Named, folded
from tracetui.analysis.diff.feeds import Feeds
from tracetui.analysis.diff.preface import MISSING, Field, Preface, TokenDifference
from tracetui.analysis.diff.report import Report
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.text import token_text, visible
from tracetui.trace.record import Token
from tracetui.views.cells import bar, fit

WIDTH = 80
_SITE, _BAR = 40, 12
_NEXT = 8
_LISTED = 6
_INDENT = 10


def diff_lines(report: Report, names: tuple[str, str], whole: bool = False, width: int = WIDTH) -> Iterator[str]:
    """What `tracetui diff` prints: what differs beforehand, the first divergence, the next, the layers, the verdict.

    `whole` lists every site that differs.
    """
    comparison = report.comparison
    for letter, name in zip("AB", names, strict=True):
        yield fit(f"{letter}  {name}", width).rstrip()
    yield from _preface(comparison, width)
    if report.first is not None:
        yield ""
        yield from _first(report, report.first, width)
        yield from _others(comparison, report.first, None if whole else _NEXT, width)
    yield from _layers(comparison, width)
    yield ""
    yield from _wrapped(verdict(report), width, "")


def verdict(report: Report) -> str:
    """One sentence: are they the same, and if not, where the fault is."""
    comparison = report.comparison
    if not comparison.compared and not comparison.misfits:
        return "Nothing to compare: no site of A is one of B's. Give names with --map, or try --fuzzy."
    checked = f"{comparison.compared:,} of {_sites(comparison):,} sites compared"
    if comparison.same:
        return f"Same: {checked}, all within tolerance."
    if report.first is None:
        causes = ["the prompts"] if comparison.preface.tokens else []
        causes += [f"the shapes of {len(comparison.misfits):,} sites"] if comparison.misfits else []
        return f"Different in {' and '.join(causes)}; {checked}, all within tolerance."
    count = len(comparison.different)
    where = visible(report.first.site)
    return f"Different: {count:,} of {comparison.compared:,} sites compared, first at {where}{_fault(report.feeds)}."


def _fault(feeds: Feeds | None) -> str:
    return ", whose inputs agree: the fault is there" if feeds is not None and feeds.agree else ""


def _sites(comparison: Comparison) -> int:
    alignment = comparison.alignment
    return len(alignment.pairs) + len(alignment.only_a) + len(alignment.only_b)


def _preface(comparison: Comparison, width: int) -> Iterator[str]:
    before, shared = comparison.preface, comparison.alignment.layers
    lines: list[str] = []
    if before.model_types:
        lines += _entry("models", [f"A is a {before.model_types[0]}, B a {before.model_types[1]}"], width)
    for found in before.tokens[:_LISTED]:
        lines += _entry("tokens", [_tokens(found)], width)
    lines += _entry("config", _config(before), width)
    if before.layers:
        lines += _entry("layers", [f"A has {before.layers[0]}; B has {before.layers[1]}"], width)
    lines += _entry("dtypes", [f"{a} in A, {b} in B: {times:,} sites" for a, b, times in before.dtypes], width)
    lines += _entry("shapes", [_misfit(site) for site in comparison.misfits], width)
    lines += _entry("only in A", folded(comparison.alignment.only_a, shared), width)
    lines += _entry("only in B", folded(comparison.alignment.only_b, shared), width)
    if lines:
        yield ""
        yield from lines


def _entry(title: str, items: Sequence[str], width: int) -> list[str]:
    """A title and its items, each on lines of its own; of many the first ones."""
    shown = [*items[:_LISTED], *([f"and {len(items) - _LISTED:,} more"] if len(items) > _LISTED else [])]
    lines: list[str] = []
    for item in shown:
        lines += _wrapped(item, width, f"{'' if lines else title:<{_INDENT}} ", " " * (_INDENT + 1))
    return lines


def _tokens(found: TokenDifference) -> str:
    row = f"prompt {found.row}, " if found.row else ""
    start = "nothing in common" if not found.position else "compared up to there"
    lengths = f"{found.lengths[0]:,} and {found.lengths[1]:,} tokens"
    return f"{row}position {found.position}: {_token(found.a)} in A, {_token(found.b)} in B; {lengths}; {start}"


def _token(token: Token | None) -> str:
    if token is None:
        return "the end"
    text = token_text(token.bytes, 40)
    return f"#{token.id} {text}" if text else f"#{token.id}"


def _config(before: Preface) -> list[str]:
    return [_field(field) for field in before.config]


def _field(field: Field) -> str:
    return f"{visible(field.name, 60)}: {_value(field.a)} in A, {_value(field.b)} in B"


def _value(value: object) -> str:
    return "not there" if value is MISSING else visible(str(value), 60)


def _misfit(site: SiteDiff) -> str:
    a, b = site.pair.a.record, site.pair.b.record
    return f"{visible(site.site)}: {list(a.shape)} in A, {list(b.shape)} in B"


def _first(report: Report, site: SiteDiff, width: int) -> Iterator[str]:
    config = {**report.comparison.b.run.config, **report.comparison.a.run.config}
    yield fit(f"First divergence: {site.site}", width).rstrip()
    yield from _names(site, width)
    yield from _entry("shape", [_shape(site, config)], width)
    yield from _entry("numbers", _numbers(site), width)
    yield from _entry("worst", _worst(report.comparison, site, config), width)
    if report.feeds is not None:
        yield from _feeds(report.feeds, width)
    for hint in report.hints:
        yield from _entry("looks like", [f"{hint.title}. {hint.evidence}"], width)


def _names(site: SiteDiff, width: int) -> Iterator[str]:
    for letter, named in (("A", site.pair.a), ("B", site.pair.b)):
        if named.record.key != site.site:
            yield from _entry(f"in {letter}", [_own_name(named)], width)


def _own_name(named: Named) -> str:
    naming = {"meta": "Meta's", "deepseek": "DeepSeek's", "gguf": "GGUF", "ggml": "llama.cpp's"}.get(named.naming)
    return f"{visible(named.record.key)}{f' ({naming} name)' if naming else ''}"


def _shape(site: SiteDiff, config: dict[str, object]) -> str:
    a, b = site.pair.a.record, site.pair.b.record
    shown = describe(axes_of(site.pair.record, config))
    shown += f" {a.dtype}" if a.dtype == b.dtype else f" {a.dtype} in A, {b.dtype} in B"
    if a.shape != b.shape:
        shown += f"; in B {list(b.shape)}"
    return f"{shown}; laid out anew: {site.laid_out}" if site.laid_out else shown


def _numbers(site: SiteDiff) -> list[str]:
    found, tolerance = site.distance, site.tolerance
    assert found is not None
    assert tolerance is not None
    limit = f"{_number(tolerance.atol)} + {_number(tolerance.rtol)}·|b|"
    if found.by_statistics:
        return [
            f"values not kept on both sides; statistics differ by up to {_number(found.max_abs)}, more than {limit}"
        ]
    greatest = f"max |a-b| {_number(found.max_abs)}   max relative {_number(found.max_rel)}"
    count = f"{found.off:,} of {found.numel:,} elements ({percent(found.share)}) off, by more than {limit}"
    lines = [
        f"{greatest}   cosine {_cosine(found.cosine)}",
        f"|a-b|/|b| {_number(found.relative)}, over the whole tensor",
        count,
    ]
    if found.unlike:
        lines.insert(0, f"NaN or Inf where the other side has none, or another: {found.unlike:,} elements")
    return lines


def _worst(comparison: Comparison, site: SiteDiff, config: dict[str, object]) -> list[str]:
    found = site.distance
    if found is None or found.worst is None:
        return []
    names = [axis.name for axis in axes_of(site.pair.record, config)]
    places = dict(zip(names, found.worst, strict=False)) if len(names) == len(found.worst) else {}
    where = ", ".join(f"{name}={place}" for name, place in places.items()) or str(list(found.worst))
    token = _token_at(comparison, places)
    values = f"{_number(found.worst_a)} in A, {_number(found.worst_b)} in B"
    return [f"[{where}]{token and f' at token {token}'}: {values}"]


def _token_at(comparison: Comparison, places: dict[str, int]) -> str:
    rows = comparison.a.tokens or comparison.b.tokens
    row, at = places.get("B", 0), places.get("T", places.get("S", places.get("N", -1)))
    if "N" in places and len(rows) > 1:
        return ""
    return _token(rows[row][at]) if 0 <= row < len(rows) and 0 <= at < len(rows[row]) else ""


def _feeds(feeds: Feeds, width: int) -> Iterator[str]:
    lines = [_row(fed, width - _INDENT - 1) for fed in feeds.found]
    for place, line in enumerate(lines):
        yield f"{'' if place else 'fed by':<{_INDENT}} {line}".rstrip()
    if feeds.agree:
        yield f"{'':<{_INDENT}} its inputs agree: the fault is made here"
    elif not feeds.found and feeds.missing:
        yield f"{'fed by':<{_INDENT}} nothing that was recorded on both sides"
    elif not feeds.found:
        yield f"{'fed by':<{_INDENT}} no other tensor: it is made of weights and token ids or positions"


def _row(site: SiteDiff, width: int) -> str:
    """A site and how far apart it is, in `width` cells."""
    found = site.distance
    if found is None:
        right = f"{'other shape':>12} {'':>10}"
    elif not found.off:
        right = f"{'agrees':>12} {_number(found.relative):>10}"
    else:
        share = "statistics" if found.by_statistics else f"{percent(found.share)} off"
        right = f"{share:>12} {_number(found.relative):>10}"
    return f"{_end(site.site, width - len(right) - 2)}  {right}"


def _end(site: str, width: int) -> str:
    """The site in exactly `width` cells; of a long one the end."""
    shown = visible(site)
    while cell_len(shown) > width:
        shown = "…" + shown[2:]
    return shown + " " * (width - cell_len(shown))


def _others(comparison: Comparison, first: SiteDiff, most: int | None, width: int) -> Iterator[str]:
    rest = [site for site in comparison.different if site is not first]
    if not rest:
        return
    shown = rest if most is None else rest[:most]
    yield ""
    yield (
        "Next, in order of execution"
        if len(shown) == len(rest)
        else (f"Next, in order of execution ({len(shown):,} of {len(rest):,}; --all shows all)")
    )
    for site in shown:
        yield f"  {_row(site, width - 2)}"


def _layers(comparison: Comparison, width: int) -> Iterator[str]:
    """One line a layer: its worst site, as a bar on a logarithmic scale from float32's rounding to 1."""
    worst = worst_by_layer(comparison.sites)
    if not worst or not comparison.different:
        return
    yield ""
    yield "Layer by layer, the worst |a-b|/|b|"
    for layer, site in worst:
        assert site.distance is not None
        filled = bar(_height(site.distance.relative), _BAR)
        mark = "off " if site.distance.off else "same"
        left = f"{layer:>7}  {mark}  {filled}{' ' * (_BAR - cell_len(filled))} {_number(site.distance.relative):>9}  "
        yield (left + _end(site.site, width - cell_len(left)) if site.distance.off else left).rstrip()


def worst_by_layer(sites: Iterable[SiteDiff]) -> list[tuple[str, SiteDiff]]:
    """For each layer, and before and after them, the site that is furthest apart; in order of execution."""
    worst: dict[str, SiteDiff] = {}
    layers_seen = False
    for site in sites:
        if site.distance is None:
            continue
        layer = site.pair.record.layer
        layers_seen = layers_seen or layer is not None
        name = str(layer) if layer is not None else "after" if layers_seen else "before"
        known = worst.get(name)
        if known is None or _badness(site) > _badness(known):
            worst[name] = site
    return list(worst.items())


def _badness(site: SiteDiff) -> tuple[bool, int, float]:
    found = site.distance
    assert found is not None
    relative = math.inf if math.isnan(found.relative) else found.relative
    return bool(found.off), found.unlike, relative


def _height(relative: float) -> float:
    if math.isnan(relative):
        return 1.0
    return max(0.0, min(1.0, 1 + math.log10(relative) / 7)) if relative > 0 else 0.0


def percent(share: float) -> str:
    """A share; what is not quite none or all never reads as such."""
    if 0 < share < 0.0001:
        return "<0.01%"
    if 0.9999 < share < 1:
        return ">99.99%"
    return f"{share:.2%}"


def _number(value: float) -> str:
    return f"{value:.3g}"


def _cosine(value: float) -> str:
    """With as many nines as it has."""
    return f"{value:.4f}" if abs(value) < 0.9999 else f"1-{1 - abs(value):.1e}" if abs(value) < 1 else f"{value:.0f}"


def _wrapped(text: str, width: int, first: str, then: str = "") -> list[str]:
    lines = textwrap.wrap(
        visible(text, 4000), width, initial_indent=first, subsequent_indent=then, break_on_hyphens=False
    )
    return [fit(line, width).rstrip() for line in lines]
