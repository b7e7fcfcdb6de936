"""The module names of a family, read off its modelling file's text: nothing of transformers is imported."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_WORD = re.compile(r"[A-Za-z_]\w*")
_MODULE = re.compile(r"self\.([a-z_]\w*)\s*(?::[^=\n]+)?=\s*(?:nn\.)?[A-Z]\w*\(")
_OTHER = re.compile(r"from \.\.(\w+)\.modeling_\w+ import")
_MOST_BYTES = 2**20


@dataclass(frozen=True, eq=False, slots=True)
class FamilyNames:
    """What stands in a family's modelling file."""

    words: frozenset[str]
    """Every name in it: a module that has none of these can't be the family's."""
    modules: tuple[str, ...]
    """Those that modules are given."""


NO_NAMES = FamilyNames(frozenset(), ())


def family_names(config: Mapping[str, object]) -> FamilyNames:
    """The names of the family of a configuration; NO_NAMES where its file isn't found."""
    kind = config.get("model_type")
    return _names_of(kind) if isinstance(kind, str) else NO_NAMES


@cache
def _names_of(kind: str) -> FamilyNames:
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return NO_NAMES
    folder = Path(spec.origin).parent / "models"
    family = kind.replace("-", "_")
    for name in (family, family.removesuffix("_text")):
        if text := _text_of(folder, name):
            others = "".join(_text_of(folder, other) for other in sorted(set(_OTHER.findall(text))))
            modules = dict.fromkeys(_MODULE.findall(text + others))
            return FamilyNames(frozenset(_WORD.findall(text + others)), tuple(modules))
    return NO_NAMES


def _text_of(folder: Path, family: str) -> str:
    """The family's modelling file; empty where there is none."""
    path = folder / family / f"modeling_{family}.py"
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MOST_BYTES)
    except (OSError, ValueError):
        return ""
