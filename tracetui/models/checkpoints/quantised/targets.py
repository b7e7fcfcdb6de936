"""Which modules a configuration of compressed-tensors means: by name, by a pattern or by their class."""

from __future__ import annotations

from collections.abc import Sequence

import regex  # type: ignore[import-untyped]

_PATTERN = "re:"
_SECONDS = 0.1
"""For one pattern, that a hostile file may have made to take for ever."""
_CLASS = "Linear"
"""That of the modules whose weights are matrices."""


def rank_of(targets: Sequence[str], module: str) -> int | None:
    """How closely targets name a module, 0 for its own name; None where they don't. Source: `match_named_modules`."""
    if module in targets:
        return 0
    if any(_matches(target.removeprefix(_PATTERN), module) for target in targets if target.startswith(_PATTERN)):
        return 1
    return 2 if _CLASS in targets else None


def _matches(pattern: str, module: str) -> bool:
    try:
        return regex.match(pattern, module, timeout=_SECONDS) is not None
    except (regex.error, TimeoutError):
        return False
