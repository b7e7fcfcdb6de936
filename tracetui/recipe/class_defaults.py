"""What transformers' configuration classes have where a file is silent, known without loading transformers.

Its save_pretrained leaves out what the class has by itself, and published files do, too. `class_defaults.toml` is
written from the classes; a test holds it to them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

LAYERS, WIDTH, HEADS, VOCABULARY, HEAD_WIDTH = range(5)


@dataclass(frozen=True, slots=True)
class Parts:
    """What is known of a model of several parts."""

    text: str
    """The type of its text model where the file doesn't say."""
    tied: bool | None
    """Whether its head is its embedding where the file doesn't say; None: the text model's own field does."""
    flat: bool
    """Whether the text model's fields may stand beside the other parts, in none of their own."""


def class_size(model_type: object, which: int) -> int | None:
    """One of a family's sizes; None where the class has none, or isn't known."""
    sizes = _table()["sizes"].get(str(model_type))
    return (sizes[which] or None) if sizes else None


def known_types() -> tuple[str, ...]:
    """The types whose sizes are known, and those of several parts."""
    return tuple(dict.fromkeys((*_table()["sizes"], *_table()["parts"])))


def parts_of(model_type: object) -> Parts | None:
    """What is known of a type of several parts; None for other types."""
    entry = _table()["parts"].get(str(model_type))
    if entry is None:
        return None
    return Parts(entry["text"], None if entry["tied"] == "own" else entry["tied"], entry["flat"])


def wholes_of(model_type: str) -> tuple[str, ...]:
    """The types of several parts that predict text and whose text model is of this type."""
    return tuple(whole for whole, entry in _table()["parts"].items() if entry["text"] == model_type)


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    text = resources.files("tracetui.recipe").joinpath("class_defaults.toml").read_text("utf-8")
    table: dict[str, dict[str, Any]] = tomllib.loads(text)
    return table
