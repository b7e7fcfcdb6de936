"""One line of the module tree in a given room: the name first, then what there is room for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tracetui.debugger.module_rows import ModuleRow
from tracetui.text import count, visible

ROOMY = 60
"""From so many cells on, numbers are exact."""
_TO_LAYER = re.compile(r"^.*?\.\d+\.")
_NUMBER = 15
"""Cells that hold the parameters of the largest model there is."""


def fitted(row: ModuleRow, room: int, layout: str, brief: bool = False) -> tuple[tuple[str, str], str]:
    """Name, kind and detail of a line in that many cells: the kind goes first, then the detail.

    With a `layout` its name for the tensor goes before the shape. brief: details only where there is much room.
    """
    fold = ("▾ " if row.open else "▸ ") if row.opens else "  "
    name = f"{' ' * row.depth}{fold}{visible(row.name)}"
    every = () if brief and room < ROOMY - _NUMBER else _details(row, room, layout)
    detail = next((detail for detail in every if detail and len(name) + len(detail) + 1 <= room), "")
    kind = f"  {visible(row.kind)}" if row.kind else ""
    if len(kind) > room - len(name) - len(detail) - bool(detail):
        kind = ""
    return (name if len(name) <= room else f"{name[: room - 1]}…", kind), detail


def _details(row: ModuleRow, room: int, layout: str) -> Iterator[str]:
    """What may stand at the right edge, the best first."""
    name = (row.elsewhere or {}).get(layout, "")
    if name:
        name = f"→ {'the same' if name == _TO_LAYER.sub('', row.path) else visible(name)}"
        if room >= ROOMY:
            yield f"{name}   {row.detail:>{_NUMBER}}"
        yield name
    if room >= ROOMY:
        yield _exact(row)
    if row.active is not None:
        yield f"{count(row.active)} of {count(row.parameters)} active"
        yield f"{count(row.active)} active"
    yield row.detail


def _exact(row: ModuleRow) -> str:
    number = f"{row.parameters:>{_NUMBER},}" if row.parameters else ""
    if row.active is not None:
        return f"{row.active:,} of {number}"
    return f"{'×'.join(map(str, row.shape))} {number}".lstrip() if row.shape else number.strip()


def totals(parameters: int, active: int | None, room: int) -> str:
    """How many parameters there are, and how many of them a token uses, in that many cells; empty without room."""
    if not parameters:
        return ""
    texts = [f"{parameters:,} parameters", f"{parameters:,}", count(parameters)]
    if active is not None:
        texts = [
            f"{active:,} of {parameters:,} parameters active per token",
            f"{count(active)} of {count(parameters)} active",
            f"{count(active)} of {count(parameters)}",
        ]
    return next((text for text in texts if len(text) <= room), "")
