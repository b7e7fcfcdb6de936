"""HTML made of elements: whatever is not markup already is made visible and escaped on its way in."""

from __future__ import annotations

from html import escape

from tracetui.text import visible

LONGEST = 400
"""Characters of one foreign text."""
_VOID = frozenset({"img", "meta"})


class Html(str):
    """Markup that is safe to write as it is."""

    __slots__ = ()


def text(foreign: str, limit: int = LONGEST) -> Html:
    """Foreign text with every character that a browser acts on made visible or escaped."""
    return Html(escape(visible(foreign, limit)))


def el(tag: str, *children: str, **attributes: str) -> Html:
    """An element; children that are no markup are foreign text. `class_` is the attribute `class`, `x_y` is `x-y`."""
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"' for key, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{tag}{said}>")
    inner = "".join(child if isinstance(child, Html) else text(child) for child in children)
    return Html(f"<{tag}{said}>{inner}</{tag}>")


def join(*parts: Html) -> Html:
    return Html("".join(parts))


def section(anchor: str, title: str, *children: str, lead: str = "") -> Html:
    """A card with a title that the table of contents leads to."""
    told = [el("p", lead, class_="lead")] if lead else []
    return el("section", el("h2", title), *told, *children, id=anchor)


def table(heads: tuple[str, ...], rows: list[Html], class_: str = "") -> Html:
    """`heads` that begin with `<` stand at the left, as their cells of the class `left` do."""
    named = (el("th", name.removeprefix("<"), class_="left" if name.startswith("<") else "number") for name in heads)
    head = el("thead", el("tr", *named))
    return el("div", el("table", head, el("tbody", *rows), class_=class_), class_="scroll")


def row(*cells: str) -> Html:
    return el("tr", *(cell if cell.startswith("<td") and isinstance(cell, Html) else el("td", cell) for cell in cells))


def bar(share: float) -> Html:
    """A cell whose length is a share from 0 to 1."""
    width = f"width:{100 * min(max(share, 0.0), 1.0):.4g}%"
    return el("td", el("span", el("span", "", style=width), class_="bar"), class_="barred")


def folds(*details: Html) -> Html:
    """Folded parts side by side; an unfolded one takes the whole width."""
    return el("div", *details, class_="folds")


def more(count: int, what: str) -> Html:
    """What a bound left out, or nothing."""
    return el("p", f"and {count:,} more {what}", class_="quiet") if count > 0 else Html("")


def _attribute(value: str) -> Html:
    return value if isinstance(value, Html) else text(value)
