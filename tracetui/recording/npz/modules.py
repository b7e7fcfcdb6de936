"""The module tree in a trace file's header: a list from the top, each module with how many stand around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import UnsetType

from tracetui.errors import bad_field
from tracetui.recording.npz.forms import ModuleForm
from tracetui.recording.outline import MAX_DEPTH, NO_MODULE, Module, grown


def decode_outline(forms: Sequence[ModuleForm] | UnsetType, where: str) -> Module:
    """The tree; NO_MODULE where the file has none. Raises InputError naming the module that is wrong."""
    return NO_MODULE if isinstance(forms, UnsetType) else grown(_modules(forms, where))


def _modules(forms: Sequence[ModuleForm], where: str) -> Iterator[tuple[int, Module]]:
    deepest = 0
    for place, form in enumerate(forms):
        low, high = min(place, 1), min(deepest, MAX_DEPTH)
        if not low <= form.depth <= high:
            raise bad_field(
                where, f"outline[{place}].depth", f"must be a whole number from {low} to {high}", form.depth
            )
        deepest = form.depth + 1
        yield form.depth, _module(form)


def _module(form: ModuleForm) -> Module:
    return Module(
        path=form.path,
        kind=form.kind,
        parameters=form.parameters,
        weights=form.weights or (),
        skipped=form.skipped or False,
        indices=form.indices or (),
        active=None if isinstance(form.active, UnsetType) else form.active,
        elsewhere=tuple(form.elsewhere.items()) if form.elsewhere else (),
    )
