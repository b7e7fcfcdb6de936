"""The module tree of the model behind a trace: as the model told it, or as far as recorded sites show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tracetui.recording.record import Record

MAX_DEPTH = 64
"""Modules inside one another; what a site names beyond stays in one name."""
_LIST = "ModuleList"


@dataclass(frozen=True, slots=True)
class Module:
    """One line of the module tree, known before anything runs."""

    path: str
    """As in sites: `model.layers.0.self_attn`."""
    kind: str
    """The class: `LlamaAttention`."""
    parameters: int
    """With those of its children; a tied tensor counts once, where it stands first."""
    weights: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Its own parameters: name and shape."""
    children: tuple[Module, ...] = ()
    skipped: bool = False
    """Outside the layers asked for: what comes in goes out unchanged."""
    indices: tuple[int, ...] = ()
    """Which of a numbered list this stands for, all alike: its path ends with them, as `3–60`. Empty for one alone."""
    active: int | None = None
    """Parameters that one token uses, where they are fewer than all."""
    elsewhere: tuple[tuple[str, str], ...] = ()
    """By layout, how another implementation calls its weight, without the layer."""

    @property
    def copies(self) -> int:
        return len(self.indices) or 1


NO_MODULE = Module("", "", 0)


def with_depth(module: Module, depth: int = 0) -> Iterator[tuple[int, Module]]:
    """The tree's modules from the top, each with how many stand around it."""
    yield depth, module
    for child in module.children:
        yield from with_depth(child, depth + 1)


def grown(modules: Iterable[tuple[int, Module]]) -> Module:
    """The tree of what `with_depth` gives: each module without children of its own, one of depth 0 first."""
    open_: list[tuple[Module, list[Module]]] = []
    for depth, module in modules:
        _close(open_, depth)
        open_.append((module, []))
    _close(open_, 1)
    return _whole(*open_[0]) if open_ else NO_MODULE


def _close(open_: list[tuple[Module, list[Module]]], depth: int) -> None:
    while len(open_) > max(depth, 1):
        module, children = open_.pop()
        open_[-1][1].append(_whole(module, children))


def _whole(module: Module, children: list[Module]) -> Module:
    return Module(
        path=module.path,
        kind=module.kind,
        parameters=module.parameters,
        weights=module.weights,
        children=tuple(children),
        skipped=module.skipped,
        indices=module.indices,
        active=module.active,
        elsewhere=module.elsewhere,
    )


def outline_of_sites(records: Iterable[Record], name: str) -> Module:
    """The tree that recorded sites show: no classes, no weights; `name` stands at its top."""
    root = _Node("")
    for record in records:
        # The model's own output: its top is the tree's.
        if record.depth or record.site not in ("logits", "output"):
            _grow(root, record.module)
    return root.module(name)


@dataclass(slots=True)
class _Node:
    path: str
    children: dict[str, _Node] = field(default_factory=dict)

    def module(self, kind: str = "") -> Module:
        is_list = bool(self.children) and all(name.isdecimal() for name in self.children)
        children = tuple(child.module() for child in self.children.values())
        return Module(self.path, kind or (_LIST if is_list else ""), 0, children=children)


def _grow(root: _Node, path: str) -> None:
    node = root
    for name in path.split(".", MAX_DEPTH - 2):
        known = node.children.get(name)
        if known is None:
            known = node.children[name] = _Node(f"{node.path}.{name}" if node.path else name)
        node = known
