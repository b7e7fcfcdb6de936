"""The module tree in a trace file's header: a list from the top, each module with how many stand around it."""

from __future__ import annotations

from collections.abc import Iterator

from tracetui.formats.fields import Field
from tracetui.recording.outline import MAX_DEPTH, NO_MODULE, Module, grown


def decode_outline(field: Field | None) -> Module:
    """The tree; NO_MODULE where the file has none. Raises InputError naming the module that is wrong."""
    return NO_MODULE if field is None else grown(_modules(field))


def _modules(field: Field) -> Iterator[tuple[int, Module]]:
    deepest = 0
    for place, item in enumerate(field.items()):
        depth = item["depth"].whole(min(place, 1), min(deepest, MAX_DEPTH))
        deepest = depth + 1
        yield depth, _module(item)


def _module(field: Field) -> Module:
    weights, indices, active = field.get("weights"), field.get("indices"), field.get("active")
    elsewhere, skipped = field.get("elsewhere"), field.get("skipped")
    return Module(
        path=field["path"].text(),
        kind=field["kind"].text(),
        parameters=field["parameters"].whole(),
        weights=tuple(map(_weight, weights.items())) if weights else (),
        skipped=skipped is not None and skipped.flag(),
        indices=tuple(item.whole() for item in indices.items()) if indices else (),
        active=active.whole() if active else None,
        elsewhere=tuple((layout, name.text()) for layout, name in elsewhere.members()) if elsewhere else (),
    )


def _weight(field: Field) -> tuple[str, tuple[int, ...]]:
    parts = list(field.items())
    if len(parts) != 2:
        raise field.wrong("must be a name and a shape")
    return parts[0].text(), tuple(length.whole() for length in parts[1].items())
