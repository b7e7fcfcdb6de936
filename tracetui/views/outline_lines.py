"""A checkpoint's structure as plain lines of text: a tree, or two implementations' names side by side."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from rich.cells import cell_len

from tracetui.analysis.checkpoint import CheckpointTensor, ModulePart, OtherName, Structure, plain
from tracetui.text import visible
from tracetui.views.cells import fit

WIDTH = 80
_COUNT_WIDTH = 17
_TITLES = {"meta": "Meta's files", "deepseek": "DeepSeek's reference code", "hf": "transformers' modules"}
_MARKS = "*†‡"
_WEIGHT = ".weight"
_TO_LAYER = re.compile(r"^.*?\.\d+\.")
"""A name's start, up to the first number in it."""


def outline_lines(structure: Structure, layout: str | None = None, width: int = WIDTH) -> Iterator[str]:
    """What `tracetui outline` prints: the tree or the names side by side, then the totals."""
    if structure.naming is None or layout is None:
        yield from tree_lines(structure.tree, width)
    else:
        yield from side_by_side(structure.tree, structure.naming, ("checkpoint", _TITLES.get(layout, layout)), width)
    yield ""
    for label, total, words in _totals(structure):
        yield from textwrap.wrap(f"{label:<10}{total:>19,} {words}", width, subsequent_indent=" " * 30)


def outline_json(structure: Structure) -> Iterator[str]:
    """The same for machines, names of another implementation left out."""
    document = {
        "name": structure.name,
        "class": structure.tree.kind,
        "parameters": structure.parameters,
        "active_parameters": structure.active,
        "tree": plain(structure.tree),
    }
    yield json.dumps(document, indent=1)


def _totals(structure: Structure) -> Iterator[tuple[str, int, str]]:
    yield "in all", structure.parameters, "parameters"
    if structure.chosen is not None and structure.active is not None:
        yield "per token", structure.active, f"active: {structure.chosen} of each block's experts, all else whole"
    elif structure.active is None:
        yield "per token", structure.parameters, "at most: how many experts it uses is not known"
    if structure.built is not None:
        parameters, layers = structure.built
        yield "built", parameters, f"in a run with {layers}"
    if structure.buffers:
        yield "beside", structure.buffers, "values in the files that are no parameters"


def tree_lines(root: ModulePart, width: int = WIDTH) -> Iterator[str]:
    """The tree, one line for each part and tensor: name, shape, parameters."""
    yield from _row(root.kind, "", f"{root.parameters:,}", width)
    yield from _tensors(root, "", 1, width)
    for child in root.children:
        yield from _part(child, 1, width)


def _part(part: ModulePart, depth: int, width: int) -> Iterator[str]:
    if part.skipped:
        yield from _row(f"{'  ' * depth}{_folded(part)}", "", "not asked for", width)
    elif not part.children and not part.indices:
        yield from _tensors(part, f"{part.name}.", depth, width)
    else:
        each, parameters = ("each ", part.own_parameters) if part.copies > 1 else ("", part.parameters)
        yield from _row(f"{'  ' * depth}{_folded(part)} {part.kind}", "", f"{each}{parameters:,}", width)
        yield from _tensors(part, "", depth + 1, width)
        for child in part.children:
            yield from _part(child, depth + 1, width)


def _folded(part: ModulePart) -> str:
    return f"{part.name}: {part.copies} ×" if part.copies > 1 else part.name


def _tensors(part: ModulePart, before: str, depth: int, width: int) -> Iterator[str]:
    for tensor in part.tensors:
        name = f"{'  ' * depth}{before}{tensor.name}"
        if cell_len(tensor.note) <= _COUNT_WIDTH:
            yield from _row(name, _shape(tensor.shape), tensor.note or f"{tensor.parameters:,}", width)
        else:
            yield from _row(name, _shape(tensor.shape), "", width)
            yield from _row(f"{'  ' * (depth + 1)}{tensor.note}", "", "", width)


def _row(name: str, shape: str, count: str, width: int) -> Iterator[str]:
    """Three columns; a name that is too long for its own takes a line of its own."""
    right = f"{shape} {fit(count, max(_COUNT_WIDTH, cell_len(count)), right=True)}"
    right = "" if right.isspace() else right
    left = fit(name, width).rstrip()
    if cell_len(left) + cell_len(right) + 2 > width:
        yield left
        left = ""
    yield f"{left}{fit(right, width - cell_len(left), right=True)}".rstrip()


def _shape(shape: tuple[int, ...]) -> str:
    return str(list(shape))


@dataclass(frozen=True, slots=True)
class _Pair:
    """One line of two names."""

    own: str
    other: str
    shape: str
    mark: str


def side_by_side(
    root: ModulePart, naming: Callable[[str], OtherName | None], titles: tuple[str, str], width: int = WIDTH
) -> Iterator[str]:
    """Every tensor's name here and in another implementation, layer by layer, equal layers once."""
    remarks: dict[str, str] = {}
    blocks = [(title, list(_pairs(part, path, naming, remarks))) for title, path, part in _blocks(root)]
    own_width = _widest([pair.own for _, pairs in blocks for pair in pairs])
    other_width = _widest([pair.other for _, pairs in blocks for pair in pairs])
    yield f"  {titles[0]:<{own_width}}  {titles[1]}"
    for title, pairs in blocks:
        if title:
            yield fit(title, width).rstrip()
        for pair in pairs:
            yield from _pair_lines(pair, own_width, other_width, width)
    yield f"A final {_WEIGHT} is left out."
    for remark, mark in remarks.items():
        wrapped = textwrap.wrap(f"{mark} {visible(remark)}", width, subsequent_indent="  ")
        # It counts characters, of which some take two cells.
        yield from (fit(each, width).rstrip() for each in wrapped)


def _widest(names: list[str]) -> int:
    """The width of a column; a name that takes more than half the screen gets a line of its own."""
    return max((width for name in names if (width := cell_len(name)) <= WIDTH // 2), default=0)


def _blocks(root: ModulePart) -> Iterator[tuple[str, str, ModulePart]]:
    """A title, a path and the part there: first all that is in no numbered list, then the lists' parts."""
    lists: list[tuple[str, ModulePart]] = []
    yield "", "", _without_lists(root, "", lists)
    for path, part in lists:
        title = f"{path}.{part.name}: {part.copies} ×"
        yield (f"{title} not asked for" if part.skipped else title), f"{path}.{part.indices[0]}.", part


def _without_lists(part: ModulePart, path: str, lists: list[tuple[str, ModulePart]]) -> ModulePart:
    """The part with no numbered parts in it, which are put into `lists`."""
    kept = []
    for child in part.children:
        if child.indices:
            lists.append((path, child))
        else:
            kept.append(_without_lists(child, f"{path}.{child.name}" if path else child.name, lists))
    return replace(part, children=tuple(kept))


def _pairs(
    part: ModulePart, path: str, naming: Callable[[str], OtherName | None], remarks: dict[str, str]
) -> Iterator[_Pair]:
    for first, for_all, tensor in _first_copies(part, ""):
        other_name = naming(f"{path}{first}")
        own, shape = visible(for_all).removesuffix(_WEIGHT), _shape(tensor.shape)
        if other_name is None:
            yield _Pair(own, "has no such tensor", shape, "")
            continue
        mark = remarks.setdefault(other_name.remark, _MARKS[len(remarks) % len(_MARKS)]) if other_name.remark else ""
        same = other_name.name == f"{path}{first}"
        other = (
            "the same" if same else visible(_like(other_name.name, bool(path), first, for_all)).removesuffix(_WEIGHT)
        )
        yield _Pair(own, other, _shape(other_name.shape or tensor.shape), mark)


def _first_copies(part: ModulePart, at: str) -> Iterator[tuple[str, str, CheckpointTensor]]:
    """Tensors beneath a part: the name in the first copy, the name that stands for all, the tensor."""
    for tensor in part.tensors:
        yield tensor.name, f"{at}{tensor.name}", tensor
    for child in part.children:
        first_name = str(child.indices[0]) if child.indices else child.name
        for first, for_all, tensor in _first_copies(child, ""):
            yield f"{first_name}.{first}", f"{at}{child.name}.{for_all}", tensor


def _like(other: str, in_list: bool, first: str, for_all: str) -> str:
    """The other name without its layer; numbers become the ranges that `for_all` has in their place."""
    if in_list:
        other = _TO_LAYER.sub("", other)
    spans = {one: many for one, many in zip(first.split("."), for_all.split("."), strict=True) if one != many}
    return ".".join(spans.get(piece, piece) for piece in other.split("."))


def _pair_lines(pair: _Pair, own_width: int, other_width: int, width: int) -> Iterator[str]:
    own = pair.own + " " * (own_width - cell_len(pair.own))
    other = pair.other + " " * (other_width - cell_len(pair.other))
    one = f"  {own}  {other}  {pair.shape} {pair.mark}".rstrip()
    if cell_len(one) <= width:
        yield one
        return
    yield fit(f"  {pair.own}", width).rstrip()
    rest = f"  {pair.shape} {pair.mark}".rstrip()
    yield fit(f"      {pair.other}", width - cell_len(rest)).rstrip() + rest
