"""What stands above the attention heatmap: the call, what was checked of it, and what its cache costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textual.content import Content

from tracetui.analysis.identity import Identity
from tracetui.analysis.mla import CacheCost
from tracetui.analysis.rope import LAYOUTS, WORDS, RopeCheck, Untold, rows_permuted
from tracetui.text import number, size
from tracetui.ui.attention import Attention, Checks

_NAME, _COLUMN = 9, 10


def facts(attention: Attention, checks: Checks | None, all_heads: Identity | None) -> Content:
    """Every line; `checks` and the identity of the whole call follow once somebody has computed them."""
    return Content("\n").join(list(_lines(attention, checks, all_heads)))


def _lines(attention: Attention, checks: Checks | None, all_heads: Identity | None) -> Iterator[Content]:
    yield _call(attention)
    found = checks.identity if checks else None
    if attention.latent_kind and attention.cost:
        yield _checked("naive vs absorbed:", found)
        yield from _cache(attention.cost)
        return
    if attention.ran:
        yield _softmax(attention, found, all_heads)
    if rows_permuted(attention.view):
        yield from _rope(checks.rope if checks else None)


def _call(attention: Attention) -> Content:
    """The key-value head that is shared, and the kernel's parameters."""
    view, call, head = attention.view, attention.view.call, attention.head
    shared, kv_head = view.heads // max(1, view.kv_heads), view.kv_head(head)
    told = [f"latent {attention.latent.rank}+{attention.latent.rope_width}"] if attention.latent else []
    if shared > 1:
        first = kv_head * shared
        told.append(f"kv head {kv_head} (heads {first}–{first + shared - 1})")
    told.append("mask" if view.mask else ("causal" if call.is_causal else "no mask"))
    if call.softcap:
        told.append(f"softcap {number(call.softcap)}")
    if call.sliding_window:
        told.append(f"window {call.sliding_window}")
    told += [call.kernel, f"scale {number(call.scale)}"]
    return Content.styled(f" {' · '.join(told)}", "$quiet")


def _softmax(attention: Attention, head: Identity | None, all_heads: Identity | None) -> Content:
    own = _checked("softmax·V = heads:", head)
    if all_heads is None:
        return own
    if all_heads.holds:
        return Content.assemble(own, (f" · all {attention.view.heads} heads hold", "$quiet"))
    return Content.assemble(own, (f" · BROKEN in a head: {_apart(all_heads)}", "bold $error"))


def _checked(what: str, found: Identity | None) -> Content:
    """Calm when it holds; when not, a word says so beside the colour."""
    if found is None:
        return Content.styled(f" … {what}", "$quiet")
    if found.holds:
        return Content.styled(f" ✓ {what} {_apart(found)}", "$quiet")
    return Content.styled(f" ✗ BROKEN {what} {_apart(found)}", "bold $error")


def _apart(found: Identity) -> str:
    return f"max |Δ| {found.difference:.2g} {'≤' if found.holds else '>'} {found.tolerance:.2g}"


def _rope(found: RopeCheck | Untold | None) -> Iterator[Content]:
    """Which layout the rotary embedding has, and that the file had the other."""
    if isinstance(found, RopeCheck):
        offs = ((WORDS[layout], found.off[layout]) for layout in LAYOUTS)
        parts = " · ".join(f"{'✓' if off.holds else '✗'} {words} {off.difference:.2g}" for words, off in offs)
        name, style = ("RoPE", "$quiet") if found.layout else ("RoPE UNCLEAR", "bold $error")
        yield Content.styled(f" {name}: {parts}", style)
    else:
        yield Content.styled(f" RoPE: can't be told: {found.reason}" if found else " … RoPE:", "$quiet")
    yield Content.styled(" Meta's file: adjacent pairs, rows permuted", "$quiet")


def verdict(found: Identity) -> str:
    """`agrees to 2.1e-07`, or `off by 3.2`."""
    if found.holds and not found.difference:
        return "agrees exactly"
    return f"{'agrees to' if found.holds else 'off by'} {found.difference:.2g}"


def _cache(cost: CacheCost) -> Iterator[Content]:
    """What one token costs, in a layer and in all, the three ways to cache; what a narrow pane cuts off comes last."""
    ways = {"absorbed": cost.absorbed, "naive": cost.naive, "plain MHA": cost.multi_head}
    yield Content.styled(_row("cache", ways) + "   for one token", "$quiet")
    one, whole = ([size(found * layers) for found in ways.values()] for layers in (1, cost.layers))
    yield Content(_row("1 layer", one) + f"   naive is {cost.saving:.3g}× absorbed")
    yield Content(_row(f"{cost.layers} layers", whole))


def _row(name: str, cells: Iterable[str]) -> str:
    return f" {name:<{_NAME}}" + "".join(f"{cell:>{_COLUMN}}" for cell in cells)
