"""A checkpoint's own structure: parts within parts, tensors at their ends, equal parts folded into one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

BUFFER = "a buffer"
"""The note of what the files hold beside parameters."""


@dataclass(frozen=True, slots=True)
class CheckpointTensor:
    """One tensor of a checkpoint."""

    name: str
    """Within its part: `weight`."""
    shape: tuple[int, ...]
    note: str = ""
    """Why it isn't counted: a buffer, or tied to another tensor."""
    routed: bool = False
    """Its first axis counts experts, of which a token uses some."""

    @property
    def parameters(self) -> int:
        return 0 if self.note else math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class ModulePart:
    """A named part of a checkpoint, or several equal ones."""

    name: str
    """The last piece of its path: `mlp`, or `3–60` for what is folded."""
    kind: str = ""
    """The module's class in transformers; empty where transformers has no such module."""
    tensors: tuple[CheckpointTensor, ...] = ()
    children: tuple[ModulePart, ...] = ()
    indices: tuple[int, ...] = ()
    """Which of a numbered list this stands for; empty for a part with a name."""
    skipped: bool = False
    """Layers that were not asked for: they have no tensors here."""
    routed: bool = False
    """Experts, of which a token uses some."""

    @property
    def copies(self) -> int:
        return len(self.indices) or 1

    @property
    def own_parameters(self) -> int:
        """Of one copy."""
        return sum(tensor.parameters for tensor in self.tensors) + sum(child.parameters for child in self.children)

    @property
    def parameters(self) -> int:
        return self.copies * self.own_parameters


@dataclass(frozen=True, slots=True)
class OtherName:
    """What another implementation calls a tensor."""

    name: str
    shape: tuple[int, ...] = ()
    """Where it isn't the checkpoint's own."""
    remark: str = ""
    """What a conversion has to change beside the name."""


def active_parameters(part: ModulePart, chosen: int) -> int:
    """What one token uses when `chosen` of every block's experts run for it; all else is counted whole."""
    copies = min(chosen, part.copies) if part.routed else part.copies
    own = 0
    for tensor in part.tensors:
        experts = tensor.shape[0] if tensor.routed else 1
        own += tensor.parameters // experts * (min(chosen, experts) if tensor.routed else 1)
    return copies * (own + sum(active_parameters(child, chosen) for child in part.children))


def has_routed(part: ModulePart) -> bool:
    """Whether any experts were found."""
    return part.routed or any(tensor.routed for tensor in part.tensors) or any(map(has_routed, part.children))


def every_tensor(part: ModulePart, path: str = "") -> Iterator[tuple[str, CheckpointTensor]]:
    """Every tensor of the checkpoint by its whole name, what is folded unfolded."""
    names = [str(index) for index in part.indices] or [part.name]
    for name in names:
        here = f"{path}.{name}" if path else name
        for tensor in part.tensors:
            yield f"{here}.{tensor.name}" if here else tensor.name, tensor
        for child in part.children:
            yield from every_tensor(child, here)


def first_tensors(part: ModulePart, path: str = "") -> Iterator[tuple[str, CheckpointTensor]]:
    """Tensors with their full names; of several equal parts only the first. `path` is the path of `part` itself."""
    for tensor in part.tensors:
        yield f"{path}.{tensor.name}" if path else tensor.name, tensor
    for child in part.children:
        yield from first_tensors(child, _first_path(child, path))


def routed_parts(part: ModulePart, path: str = "") -> Iterator[tuple[str, ModulePart]]:
    """Experts that stand one by one, each kind once, with the path of the first."""
    for child in part.children:
        here = _first_path(child, path)
        if child.routed:
            yield here, child
        else:
            yield from routed_parts(child, here)


def _first_path(part: ModulePart, path: str) -> str:
    name = str(part.indices[0]) if part.indices else part.name
    return f"{path}.{name}" if path else name


def fold(parts: Sequence[ModulePart]) -> tuple[ModulePart, ...]:
    """Numbered parts of the same structure as one, in the order of their first; named ones as they are."""
    groups: dict[object, list[ModulePart]] = {}
    for position, part in enumerate(parts):
        alike = replace(part, name="", indices=()) if part.indices else position
        groups.setdefault(alike, []).append(part)
    return tuple(_joined(alike) for alike in groups.values())


def _joined(parts: list[ModulePart]) -> ModulePart:
    first = parts[0]
    if not first.indices:
        return first
    indices = tuple(sorted(index for part in parts for index in part.indices))
    return replace(first, name=span(indices), indices=indices)


def span(indices: Sequence[int]) -> str:
    """Sorted numbers in few words: `3`, `3–60`, `0–2, 4, 6`, and `0, 2, 4, … 46` where there are many gaps."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    return ", ".join(texts) if len(texts) <= 4 else f"{', '.join(texts[:3])}, … {texts[-1]}"


@dataclass(frozen=True, slots=True)
class Structure:
    """A model's checkpoint, and how much of it there is."""

    name: str
    tree: ModulePart
    """Of the layers to show."""
    parameters: int
    """Of the whole model, shown or not."""
    built: tuple[int, str] | None
    """Parameters of the layers that a run builds, and which these are; None: all."""
    chosen: int | None
    """How many routed experts of each block a token uses; None: there are none, or it isn't known."""
    active: int | None
    """Parameters of the whole model that one token uses; None: not known."""
    buffers: int
    """Values in the whole model's files beside the parameters."""
    naming: Callable[[str], OtherName | None] | None = None
    """Another implementation's names, where they were asked for."""


def buffer_values(part: ModulePart) -> int:
    """Values that the files hold and nobody counts as parameters."""
    own = sum(math.prod(tensor.shape) for tensor in part.tensors if tensor.note == BUFFER)
    return part.copies * (own + sum(map(buffer_values, part.children)))


def plain(part: ModulePart) -> dict[str, object]:
    """The tree as data for JSON; `parameters` are those of all copies together."""
    document: dict[str, object] = {"name": part.name, "class": part.kind, "parameters": part.parameters}
    if part.indices:
        document["indices"] = list(part.indices)
    if part.skipped:
        document["skipped"] = True
    if part.tensors:
        document["tensors"] = [
            {"name": tensor.name, "shape": list(tensor.shape), "parameters": tensor.parameters, "note": tensor.note}
            for tensor in part.tensors
        ]
    if part.children:
        document["parts"] = [plain(child) for child in part.children]
    return document
