"""Plain explanations of configuration fields, in words of our own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

ROPE = "rope_parameters"


def explanation(field: str, family: str) -> str:
    """What a field of transformers' configuration is; empty if there are no words for it here.

    Keys inside rope_parameters are asked for as `rope_parameters.factor`.
    """
    table = _tables()
    outer, dot, inner = field.partition(".")
    if dot:
        return table["rope"].get(inner, "") if outer == ROPE else ""
    return table.get(family, {}).get(field) or table["common"].get(field, "")


def meta_explanation(field: str) -> str:
    """What a field of Meta's params.json is; empty if there are no words for it here."""
    return _tables()["params"].get(field, "")


def reference_explanation(field: str) -> str:
    """What a field of the reference code's configuration is; empty if there are no words for it here."""
    return _tables()["reference"].get(field, "")


@cache
def _tables() -> Mapping[str, Mapping[str, str]]:
    tables: dict[str, dict[str, str]] = tomllib.loads(
        resources.files("tracetui.recipe.fields").joinpath("explanations.toml").read_text("utf-8")
    )
    return tables
