"""What stands above the attention heatmap: the call, what was checked of it, and what its cache costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from tracetui.analysis.attention.mla import CacheCost
from tracetui.analysis.identity import Identity
from tracetui.debugger.labels import row_name
from tracetui.debugger.readings.attention import AttentionPlane, Checks
from tracetui.text import number, size
from tracetui.ui.panes.attention.kind_line import NAMES
from tracetui.views.parts import LinePart, fitted, part
from tracetui.views.verdict import verdict_parts

if TYPE_CHECKING:
    from tracetui.analysis.rope.pairs import RopeCheck, Untold

SHORT = 30
"""Lines of a screen below which what is well has one line, so that the matrix has the room."""
_NAME, _COLUMN = 9, 10


def facts(
    attention: AttentionPlane, checks: Checks | None, all_heads: Identity | None, width: int, short: bool = False
) -> Content:
    """Every line; `checks` and the identity of the whole call follow once somebody has computed them.

    short: a rotation that is as it should be is said in the line of the other check, and a cache's cost in one.
    """
    return Content("\n").join(list(_lines(attention, checks, all_heads, width, short)))


def cell_words(attention: AttentionPlane, cell: tuple[int, int]) -> str:
    """Where a cell is, and its number."""
    (row, column), picture = cell, attention.picture
    of = f" {name}" if (name := row_name(attention.batch, attention.view.batch)) else ""
    place = f"{attention.view.site} {NAMES[attention.kind]}{of} head {attention.head}"
    return f"{place} {picture.rows.name} {row} {picture.columns.name} {column}: {number(picture.value(row, column))}"


def _lines(
    attention: AttentionPlane, checks: Checks | None, all_heads: Identity | None, width: int, short: bool
) -> Iterator[Content]:
    from tracetui.analysis.rope.pairs import rows_permuted, rows_source

    yield _call(attention, width)
    identity = checks.identity if checks else None
    if attention.latent_kind and attention.cost:
        yield _checked(("naive vs absorbed, before the mask", "naive vs absorbed", "vs absorbed"), identity, [], width)
        yield from _cache(attention.cost, width, short)
        return
    layout = _well_turned(checks) if short and attention.ran and rows_permuted(attention.view) else ""
    if attention.ran:
        turned = [part(f" · ✓ RoPE {layout}", f" · ✓ {layout}", "", rank=9)] if layout else []
        yield _softmax(attention, identity, all_heads, width, turned)
    if rows_permuted(attention.view) and not layout:
        yield from _rope(checks.rope if checks else None, rows_source(attention.view), width)


def _call(attention: AttentionPlane, width: int) -> Content:
    """The kernel's scale before all else, its parameters, and the key-value head that is shared."""
    view, call, head = attention.view, attention.view.call, attention.head
    shared, kv_head = view.heads // max(1, view.kv_heads), view.kv_head(head)
    parts: list[LinePart] = []
    if attention.latent:
        parts.append(part(f"latent {attention.latent.rank}+{attention.latent.rope_width} · ", "", rank=4))
    if shared > 1:
        first = kv_head * shared
        parts.append(
            part(f"kv head {kv_head} (heads {first}–{first + shared - 1}) · ", f"kv head {kv_head} · ", "", rank=5)
        )
    parts.append(part("mask · " if view.mask else ("causal · " if call.is_causal else "no mask · "), "", rank=2))
    if call.softcap:
        parts.append(part(f"softcap {number(call.softcap)} · ", "", rank=1))
    if call.sliding_window:
        parts.append(part(f"window {call.sliding_window} · ", "", rank=1))
    parts += [part(f"{call.kernel} · ", "", rank=3), part(f"scale {number(call.scale)}")]
    return Content.styled("".join(fitted([part(" "), *parts], width)), "$quiet")


def _well_turned(checks: Checks | None) -> str:
    """The layout of RoPE in words, once it has been checked and is clear; else empty."""
    from tracetui.analysis.rope.pairs import WORDS, RopeCheck

    rope = checks.rope if checks else None
    return WORDS[rope.layout] if isinstance(rope, RopeCheck) and rope.layout else ""


def _softmax(
    attention: AttentionPlane,
    head: Identity | None,
    all_heads: Identity | None,
    width: int,
    turned: Sequence[LinePart],
) -> Content:
    more: list[LinePart] = []
    if all_heads is not None and all_heads.holds:
        every = f" · all {attention.view.heads} heads"
        more = [part(f"{every} hold", every, "", rank=6)]
    elif all_heads is not None:
        more = [part(f" · BROKEN in a head: {_apart(all_heads)}", " · BROKEN in a head", rank=1)]
    return _checked(("softmax·V = heads", "softmax·V"), head, [*turned, *more], width)


def _checked(what: tuple[str, ...], identity: Identity | None, more: list[LinePart], width: int) -> Content:
    """Calm when it holds; when not, a word says so beside the colour."""
    parts = [part(f" … {what[0]}")] if identity is None else verdict_parts(what, identity)
    calm = (identity is None or identity.holds) and not any("BROKEN" in each.forms[0] for each in more)
    return Content.styled("".join(fitted([*parts, *more], width)), "$quiet" if calm else "bold $error")


def _apart(identity: Identity) -> str:
    return f"max |Δ| {identity.difference:.2g} {'≤' if identity.holds else '>'} {identity.tolerance:.2g}"


def _rope(check: RopeCheck | Untold | None, source: str, width: int) -> Iterator[Content]:
    """Which layout the rotary embedding has, and that the file had the other."""
    from tracetui.analysis.rope.pairs import LAYOUTS, WORDS, RopeCheck

    if isinstance(check, RopeCheck):
        name, style = ("RoPE", "$quiet") if check.layout else ("RoPE UNCLEAR", "bold $error")
        parts = [part(f" {name}:", "", rank=3)]
        for place, layout in enumerate(LAYOUTS):
            off, words = check.off[layout], WORDS[layout]
            parts += [part(f"{' ·' if place else ''} {'✓' if off.holds else '✗'} "), part(words, words.split()[-1])]
            parts.append(part(f" {off.difference:.2g}", "", rank=1))
        yield Content.styled("".join(fitted(parts, width)), style)
    else:
        yield Content.styled(f" RoPE: can't be told: {check.reason}" if check else " … RoPE:", "$quiet")
    words = f"{source[:1].upper()}{source[1:]}"
    yield Content.styled(f" {words}: adjacent pairs, rows permuted", "$quiet")


def verdict(identity: Identity) -> str:
    """`agrees to 2.1e-07`, or `off by 3.2`."""
    if identity.holds and not identity.difference:
        return "agrees exactly"
    return f"{'agrees to' if identity.holds else 'off by'} {identity.difference:.2g}"


def _cache(cost: CacheCost, width: int, short: bool) -> Iterator[Content]:
    """What one token costs, in a layer and in all, the three ways to cache; the last ways go where there is no room.

    short: one line, of one layer.
    """
    ways = {"absorbed": cost.absorbed, "naive": cost.naive, "plain MHA": cost.multi_head}
    if short:
        first, *others = (f"{way.removeprefix('plain ')} {size(byte_count)}" for way, byte_count in ways.items())
        more = (part(f" · {way}", "", rank=2) for way in others)
        least = part(first, first.partition(" ")[2], rank=3)
        words = [part(" cache of a token, 1 layer: ", " cache ", rank=4), least, *more]
        yield Content.styled("".join(fitted(words, width)), "$quiet")
        return
    yield Content.styled(_row("cache", ways, "   for one token", width), "$quiet")
    one, whole = ([size(byte_count * layers) for byte_count in ways.values()] for layers in (1, cost.layers))
    yield Content(_row("1 layer", one, f"   naive is {cost.saving:.3g}× absorbed", width))
    yield Content(_row(f"{cost.layers} layers", whole, "", width))


def _row(name: str, cells: Iterable[str], end: str, width: int) -> str:
    parts = [part(f" {name:<{_NAME}}"), *(part(f"{cell:>{_COLUMN}}", "", rank=1) for cell in cells)]
    return "".join(fitted([*parts, part(end, "", rank=2)], width))
