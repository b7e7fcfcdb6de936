"""Pieces of text that the lines of a comparison are made of."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from rich.cells import cell_len

from tracetui.recording.record import Token, layer_of, plain_site
from tracetui.text import token_text, visible
from tracetui.views.cells import fit

WIDTH = 80
INDENT = 10
_LISTED = 6
_NAMED = 6


def entry(title: str, items: Sequence[str], width: int, most: int | None = _LISTED) -> list[str]:
    """A title and its items, each on lines of its own; of more than `most` the first ones."""
    shown = [*items] if most is None or len(items) <= most else [*items[:most], f"and {len(items) - most:,} more"]
    lines: list[str] = []
    for item in shown:
        lines += wrapped(item, width, f"{'' if lines else title:<{INDENT}} ", " " * (INDENT + 1))
    return lines


def token(token: Token | None) -> str:
    if token is None:
        return "the end"
    text = token_text(token.bytes, 40)
    return f"#{token.id} {text}" if text else f"#{token.id}"


def listed(sites: Collection[str]) -> str:
    """Sites in few words: `rotary_emb, layers.0.self_attn:q, .self_attn:k and 2 more`."""
    whole = {site.partition("@")[0] for site in sites}
    parts = (site if plain_site(site) not in whole else plain_site(site) for site in sites)
    names = list(dict.fromkeys(part.partition("@")[0].removeprefix("model.") for part in parts))
    shown: list[str] = []
    for name in names[:_NAMED]:
        layer = f"layers.{layer_of(name)}"
        shown.append(name.removeprefix(layer) if any(other.startswith(layer) for other in shown) else name)
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return visible(", ".join(shown)) + more


def percent(share: float) -> str:
    """A share; what is not quite none or all never reads as such."""
    if 0 < share < 0.0001:
        return "<0.01%"
    if 0.9999 < share < 1:
        return ">99.99%"
    return f"{share:.2%}"


def number(value: float) -> str:
    return f"{value:.3g}"


def beside(one: float, other: float) -> tuple[str, str]:
    """Two numbers with as many digits as tell them apart."""
    digits = next((digits for digits in range(3, 17) if f"{one:.{digits}g}" != f"{other:.{digits}g}"), 3)
    return f"{one:.{digits}g}", f"{other:.{digits}g}"


def wrapped(text: str, width: int, first: str, then: str = "") -> list[str]:
    lines = textwrap.wrap(
        visible(text, 4000), width, initial_indent=first, subsequent_indent=then, break_on_hyphens=False
    )
    return [fit(line, width).rstrip() for line in lines]


def end(site: str, width: int) -> str:
    """The site in exactly `width` cells; of a long one the end."""
    if width <= 0:
        return ""
    shown = visible(site)
    while cell_len(shown) > width:
        shown = "…" + shown[2:]
    return shown + " " * (width - cell_len(shown))
