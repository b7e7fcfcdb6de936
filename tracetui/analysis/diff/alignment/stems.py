"""Modules of one model whose paths begin otherwise: of the whole model, of the part inside its head, of a wrapper."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tracetui.recording.record import Record, layer_path

_CONTAINER = re.compile(r"[^.]+\.\d+$")


def stem_of(records: Iterable[Record]) -> str | None:
    """What stands before the layers in a side's paths, as `transformer.`; None where it isn't one for all."""
    paths = {layer_path(record.site) for record in records} - {""}
    stems = {_CONTAINER.sub("", path) for path in paths}
    return stems.pop() if len(stems) == 1 else None


def under_stem(key: str, stem: str, other: str) -> tuple[str, ...]:
    """A key as it would be on a side whose paths begin otherwise, the likeliest first."""
    bare = key.removeprefix(stem)
    return (other + bare, bare)
