"""The parameters that no module's forward reads but a module's own code: its bare ones, and those of idle children."""

from __future__ import annotations

from collections.abc import Iterator

from tracetui.recording.outline import Module
from tracetui.recording.trace import Trace


def own_parameters(trace: Trace, path: str) -> tuple[str, ...]:
    """Their names below the module at `path`: `A_log`, `conv1d.weight`. Empty where no module tree was told."""
    module = _module_at(trace.outline, path)
    if module is None:
        return ()
    run = {record.module for record in trace.records}
    bare = [name for name, _ in module.weights]
    return (*bare, *(name for child in module.children for name in _idle(child, path, run)))


def _idle(module: Module, holder: str, run: set[str]) -> Iterator[str]:
    """The parameters of a child that never ran, and of those inside it, by their names below the holder."""
    name = module.path.rpartition(".")[2]
    path = f"{holder}.{name}"
    if module.indices or any(site == path or site.startswith(f"{path}.") for site in run):
        return
    yield from (f"{name}.{own}" for own, _ in module.weights)
    for child in module.children:
        yield from (f"{name}.{below}" for below in _idle(child, path, run))


def _module_at(top: Module, path: str) -> Module | None:
    module = top
    for name in path.split("."):
        child = next((child for child in module.children if _is(child, name)), None)
        if child is None:
            return None
        module = child
    return module


def _is(module: Module, name: str) -> bool:
    """Whether a line of the tree is, or stands for, a child of a name."""
    if module.indices:
        return name.isdecimal() and int(name) in module.indices
    return module.path.rpartition(".")[2] == name
