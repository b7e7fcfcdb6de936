"""Two traces as one tree in order of execution: what both have stands once, what one side lacks beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import groupby

from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.diff.result import Outcome, SiteDiff
from tracetui.analysis.diff.survey import Survey
from tracetui.recording.record import Record, layer_path, plain_site
from tracetui.text import spans

_PARTS = re.compile(r"[^.:]+|:[^.:]+")
_QUIET_RUN = 2
"""The fewest numbered neighbours with equal results that are shown as one line."""


class Standing(IntEnum):
    """The result at a site, the most important last; a group has the last of its members' results."""

    SKIPPED = 0
    AHEAD = 1
    """One side's run has not come to it."""
    AGREES = 2
    ONLY_A = 3
    ONLY_B = 4
    SHAPES = 5
    DIFFERS = 6
    MADE = 7
    """It differs, and all that feeds it agrees."""


_OUTCOMES = {
    Outcome.SAME: Standing.AGREES,
    Outcome.DIFFERENT: Standing.DIFFERS,
    Outcome.SHAPES: Standing.SHAPES,
    Outcome.SKIPPED: Standing.SKIPPED,
}


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """A site, a module with its contents, or a run of layers with equal results."""

    path: str
    """Unique in the tree; begins with that of its parent."""
    name: str
    children: tuple[Node, ...] = ()
    site: str = ""
    """The compared or lone site whose values this is; empty for a mere group."""
    own: Standing = Standing.SKIPPED
    relative: float | None = None
    """The site's own distance; None where none was measured."""
    other: str = ""
    """What B calls the site within its layer, if it isn't the site's own name."""
    standing: Standing = Standing.SKIPPED
    """The worst of itself and all inside."""
    worst: float | None = None
    """The largest distance of itself and all inside."""
    apart: int = 0
    """Sites that differ, itself and all inside."""
    sites: int = 0


def tree_of(survey: Survey) -> tuple[Node, ...]:
    """The top of the tree, in order of execution."""
    top = _Open("", "")
    for site, record, node in _leaves(survey):
        top.put(_path(site, record), node)
    return _runs([_closed(child) for child in top.children.values()])


@dataclass(slots=True)
class _Open:
    """A node that may get children yet."""

    path: str
    name: str
    leaf: Node | None = None
    children: dict[str, _Open] = field(default_factory=dict)

    def put(self, parts: Sequence[str], leaf: Node) -> None:
        node = self
        for part in parts:
            known = node.children.get(part)
            if known is None:
                known = node.children[part] = _Open(f"{node.path}/{part}", part)
            node = known
        node.leaf = leaf


def _leaves(survey: Survey) -> Iterator[tuple[str, Record, Node]]:
    """Sites of both sides in order of execution, those of one side after what its own run computed before."""
    alignment = survey.report.comparison.alignment
    found: list[tuple[float, int, str, Record, Node]] = []
    places: list[tuple[int, int]] = []
    for place, site in enumerate(survey.report.comparison.sites):
        found.append((place, 0, site.site, site.pair.record, _compared(site, site.site in survey.made)))
        places.append((site.pair.a.record.index, site.pair.b.record.index))
    for side, lone, standing in (
        (0, alignment.only_a, Standing.ONLY_A),
        (1, alignment.only_b, Standing.ONLY_B),
        (0, alignment.ahead_a, Standing.AHEAD),
        (1, alignment.ahead_b, Standing.AHEAD),
    ):
        order = sorted((pair[side], place) for place, pair in enumerate(places))
        for named, after in _after(lone, order):
            record = replace(named.record, site=plain_site(named.site))
            node = Node("", "", site=named.site, own=standing)
            found.append((after, 1, named.site, record, node))
    for _, _, site_name, record, node in sorted(found, key=lambda entry: entry[:2]):
        yield site_name, record, node


def _after(lone: Sequence[Named], order: Sequence[tuple[int, int]]) -> Iterator[tuple[Named, float]]:
    """Each lone record with the place of the last pair that its own side computed before it."""
    at, last = 0, -1
    for named in sorted(lone, key=lambda named: named.record.index):
        while at < len(order) and order[at][0] < named.record.index:
            last = order[at][1]
            at += 1
        yield named, last + 0.5


def _compared(site: SiteDiff, made: bool) -> Node:
    relative = site.distance.furthest if site.distance else None
    own = Standing.MADE if made else _OUTCOMES[site.outcome]
    return Node("", "", site=site.site, own=own, relative=relative, other=_other(site.site, site.pair.b))


def _other(site: str, named: Named) -> str:
    """What B calls it within its layer."""
    return "" if named.record.key == site else named.record.site_in_layer.lstrip(".")


def _path(site: str, record: Record) -> list[str]:
    """`pass 1`, `layers.3`, `self_attn`, `:q`: the way to a site; the call and the part stay with its last name."""
    plain = plain_site(site)
    parts = [f"pass {record.pass_}"] if record.pass_ else []
    layer = layer_path(plain)
    if layer:
        parts.append(".".join(layer.split(".")[-2:]))
        inside = _PARTS.findall(plain[len(layer) :])
    else:
        inside = [plain]
    tail = site[len(plain) :].removesuffix(f"@{record.pass_}") if record.pass_ else site[len(plain) :]
    parts += inside
    parts[-1] += tail
    return parts


def _closed(node: _Open) -> Node:
    """The node with its children, and what they say of it."""
    children = _runs([_closed(child) for child in node.children.values()])
    leaf = node.leaf or Node("", "")
    distances = [child.worst for child in children] + [leaf.relative]
    own = leaf.own if node.leaf else Standing.SKIPPED
    return replace(
        leaf,
        path=node.path,
        name=node.name,
        children=children,
        standing=max([own, *(child.standing for child in children)]),
        worst=_largest(distances),
        apart=int(own >= Standing.SHAPES) + sum(child.apart for child in children),
        sites=int(node.leaf is not None) + sum(child.sites for child in children),
    )


def _largest(distances: Sequence[float | None]) -> float | None:
    known = [math.inf if math.isnan(distance) else distance for distance in distances if distance is not None]
    return max(known, default=None)


def _runs(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Joins neighbours in a numbered list that have the same result, and don't differ, into one node."""
    found: list[Node] = []
    for (stem, standing), group in groupby(nodes, key=lambda node: (_stem(node.name), node.standing)):
        alike = list(group)
        if not stem or standing >= Standing.SHAPES or len(alike) < _QUIET_RUN:
            found += alike
            continue
        numbers = [int(node.name.rpartition(".")[2]) for node in alike]
        name = f"{stem.removesuffix('#')}{spans(numbers)}"
        found.append(
            Node(
                f"{alike[0].path}–{numbers[-1]}",
                name,
                tuple(alike),
                standing=standing,
                worst=_largest([node.worst for node in alike]),
                sites=sum(node.sites for node in alike),
            )
        )
    return tuple(found)


def _stem(name: str) -> str:
    """`layers.` of `layers.3`, `#` of an expert's bare number; empty for what isn't one of a numbered list."""
    stem, _, number = name.rpartition(".")
    if not number.isdecimal():
        return ""
    return f"{stem}." if stem else "#"


@dataclass(frozen=True, eq=False, slots=True)
class TreeRow:
    """One line of the tree."""

    node: Node
    depth: int
    open: bool


def rows_of(top: Sequence[Node], opened: frozenset[str], depth: int = 0) -> Iterator[TreeRow]:
    """The lines that are in sight."""
    for node in top:
        is_open = bool(node.children) and node.path in opened
        yield TreeRow(node, depth, is_open)
        if is_open:
            yield from rows_of(node.children, opened, depth + 1)


def ways_of(top: Sequence[Node], around: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every site with the paths of the nodes from the top down to it, its own last."""
    for node in top:
        way = (*around, node.path)
        if node.site:
            yield node.site, way
        yield from ways_of(node.children, way)
