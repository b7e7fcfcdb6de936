"""The module tree as lines: what is open, what is folded together, and where each module stands."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tracetui.session import Module
from tracetui.text import count


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tree."""

    path: str
    depth: int
    name: str
    kind: str
    detail: str
    """Shape or parameter count, for the right edge."""
    opens: bool = False
    """Whether there is anything beneath."""
    open: bool = False
    skipped: bool = False
    """Stands for modules that pass through what comes in."""


def rows_of(root: Module, opened: Collection[str]) -> list[Row]:
    """The visible lines, top to bottom; skipped neighbours share one."""
    return list(_rows(root, 0, opened)) if root.kind else []


def _rows(module: Module, depth: int, opened: Collection[str]) -> Iterator[Row]:
    is_open = module.path in opened
    name = module.path.rpartition(".")[2] or module.kind
    kind = module.kind if module.path else ""
    yield Row(module.path, depth, name, kind, _detail(module), bool(module.children), is_open)
    if is_open:
        yield from _children(module, depth + 1, opened)


def _children(module: Module, depth: int, opened: Collection[str]) -> Iterator[Row]:
    folded: list[Module] = []
    for child in module.children:
        if child.skipped:
            folded.append(child)
            continue
        if folded:
            yield _folded(folded, depth)
            folded = []
        yield from _rows(child, depth, opened)
    if folded:
        yield _folded(folded, depth)


def _folded(modules: list[Module], depth: int) -> Row:
    """`2–31 · 30 layers not asked for, passed through`."""
    first, last = (module.path.rpartition(".")[2] for module in (modules[0], modules[-1]))
    span, noun = (first, "layer") if len(modules) == 1 else (f"{first}–{last}", f"{len(modules)} layers")
    return Row(modules[0].path, depth, span, f"{noun} not asked for, passed through", "", skipped=True)


def _detail(module: Module) -> str:
    if not module.children and len(module.weights) == 1:
        return "×".join(str(length) for length in module.weights[0][1])
    return count(module.parameters) if module.parameters else ""


def first_open(root: Module) -> set[str]:
    """What stands open at first: everything down to the list of layers, but no layer."""
    opened, level = {root.path}, [root]
    while level:
        level = [child for module in level for child in module.children if _leads_to_layers(child)]
        opened.update(module.path for module in level)
    return opened


def _leads_to_layers(module: Module) -> bool:
    """Whether a module is a list of layers or has one among its children."""
    return _is_list(module) or any(_is_list(child) for child in module.children)


def _is_list(module: Module) -> bool:
    return module.kind == "ModuleList" and not module.weights


def ancestors(path: str) -> set[str]:
    """The paths around a path, the top's empty one included: `a.b.c` → `a.b`, `a`, ``."""
    parts = path.split(".")
    return {".".join(parts[:length]) for length in range(len(parts))}


def paths_of(root: Module) -> list[str]:
    """Every module path in the order of the tree, skipped ones left out."""
    found = [root.path]
    for child in root.children:
        if not child.skipped:
            found.extend(paths_of(child))
    return found
