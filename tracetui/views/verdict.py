"""The result of a check, written the same way everywhere: `✓ softmax·V = heads: max |Δ| 0.0034 ≤ 0.012`."""

from __future__ import annotations

from tracetui.analysis.identity import Identity
from tracetui.views.parts import LinePart, part


def verdict_parts(what: tuple[str, ...], identity: Identity) -> list[LinePart]:
    """The parts of a line: what was checked, in words that may become fewer, and the difference with its limit."""
    mark = part(" ✓ ", rank=0) if identity.holds else part(" ✗ BROKEN ", " ✗ ", rank=1)
    sign = "≤" if identity.holds else ">"
    return [
        mark,
        part(*(f"{words}: " for words in what), "", rank=3),
        part("max |Δ| ", "", rank=4),
        part(f"{identity.difference:.2g}"),
        part(f" {sign} {identity.tolerance:.2g}", "", rank=2),
    ]
