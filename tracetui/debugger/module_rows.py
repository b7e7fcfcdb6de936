"""The module tree as lines: what is open, what is folded together, and where each module stands."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracetui.analysis.checkpoint import span
from tracetui.debugger.session import Module
from tracetui.text import count

Hit = Mapping[str, Collection[int]]
"""By the path of a list of experts, those that have records of their own."""
NONE_HIT: Hit = {}


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """One line of the tree."""

    path: str
    depth: int
    name: str
    kind: str
    shape: tuple[int, ...] = ()
    """Of the only weight there is; empty for anything else."""
    parameters: int = 0
    active: int | None = None
    """Parameters that one token uses, where they are fewer than all."""
    opens: bool = False
    """Whether there is anything beneath."""
    open: bool = False
    folded: bool = False
    """Whether the line stands for several modules, or for layers that were left out: no record belongs to it."""
    elsewhere: Mapping[str, str] | None = None
    """By layout, what another implementation calls it."""

    @property
    def detail(self) -> str:
        """Shape or parameter count, for the right edge."""
        return "×".join(map(str, self.shape)) if self.shape else count(self.parameters) if self.parameters else ""


def rows_of(root: Module, opened: Collection[str], hit: Hit = NONE_HIT) -> list[ModuleRow]:
    """The visible lines, top to bottom; in a list of experts the `hit` ones stand unfolded among the others."""
    return list(_rows(root, root.path, 0, opened, hit)) if root.kind else []


def modules_by_path(root: Module) -> dict[str, Module]:
    """Every module by its path."""
    known = {root.path: root}
    for child in root.children:
        known.update(modules_by_path(child))
    return known


def rows_again(
    rows: Sequence[ModuleRow],
    lines: Mapping[str, int],
    modules: Mapping[str, Module],
    changed: Collection[str],
    opened: Collection[str],
    hit: Hit = NONE_HIT,
) -> list[ModuleRow] | None:
    """The lines once some modules are folded that were open, or the other way; None where all have to be made anew.

    lines: by path where it stands in `rows`; modules: by path, without single ones of those on one line.
    """
    again = list(rows)
    for line in sorted((lines[path] for path in changed if path in lines), reverse=True):
        row = again[line]
        if (module := modules.get(row.path)) is None:
            return None
        beneath = range(line + 1, len(again))
        end = next((place for place in beneath if again[place].depth <= row.depth), len(again))
        again[line:end] = _rows(module, row.path, row.depth, opened, hit)
    return again


def _rows(module: Module, path: str, depth: int, opened: Collection[str], hit: Hit) -> Iterator[ModuleRow]:
    """The lines of one module (or several equal ones on one line), at the path of this line."""
    yield ModuleRow(
        path,
        depth,
        _name(module, path),
        module.kind if module.path else "",
        module.weights[0][1] if len(module.weights) == 1 and not module.children else (),
        module.parameters,
        module.active,
        opens=bool(module.children),
        open=path in opened,
        folded=module.skipped or len(module.indices) > 1,
        elsewhere=dict(module.elsewhere) if module.elsewhere else None,
    )
    if path in opened:
        for child in module.children:
            for piece, at in _pieces(child, f"{path}{child.path[len(module.path) :]}", hit):
                yield from _rows(piece, at, depth + 1, opened, hit)


def _name(module: Module, path: str) -> str:
    name = path.rpartition(".")[2] or module.kind
    if module.skipped:
        return f"{name}  {f'{module.copies} × ' if module.copies > 1 else ''}not run"
    return f"{name}: {module.copies} ×" if module.copies > 1 else name


def _pieces(module: Module, path: str, hit: Hit) -> Iterator[tuple[Module, str]]:
    """A module as it is; of a list of experts each that was hit, and the runs of others between them."""
    around = path.rpartition(".")[0]
    alone = hit.get(around) if module.indices and not module.skipped else None
    if not alone:
        yield module, path
        return
    for indices in _runs(module.indices, alone):
        yield _some(module, indices), f"{around}.{span(indices)}"


def _runs(indices: Sequence[int], alone: Collection[int]) -> Iterator[tuple[int, ...]]:
    run: list[int] = []
    for index in indices:
        if index in alone:
            if run:
                yield tuple(run)
                run = []
            yield (index,)
        else:
            run.append(index)
    if run:
        yield tuple(run)


def _some(module: Module, indices: tuple[int, ...]) -> Module:
    """Some of the modules that a line stands for; how many of them a token uses is only known of all together."""
    each = module.parameters // module.copies
    return Module(module.path, module.kind, each * len(indices), module.weights, module.children, indices=indices)


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
    """The path of every line in the order of the tree, those of layers that are not run left out."""
    found = [root.path]
    for child in root.children:
        if not child.skipped:
            found.extend(paths_of(child))
    return found


def expert_lists(root: Module) -> frozenset[str]:
    """The paths of modules whose experts are folded into one line."""
    found = {root.path} if any(child.indices and not child.skipped for child in root.children) else set()
    return frozenset(found.union(*(expert_lists(child) for child in root.children if not child.skipped)))


def layouts_of(root: Module) -> list[str]:
    """The layouts in which any tensor has another name, in their own order."""
    found = dict.fromkeys(layout for layout, _ in root.elsewhere)
    for child in root.children:
        found |= dict.fromkeys(layouts_of(child))
    return list(found)
