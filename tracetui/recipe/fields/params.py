"""The fields that a model is described by where they aren't transformers': read again, and what becomes of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tracetui.errors import InputError
from tracetui.formats.table import read_json_object
from tracetui.formats.toml import parse_toml
from tracetui.paths import read_bounded
from tracetui.recipe.fields.explain import meta_explanation, reference_explanation
from tracetui.recipe.fields.field import ConfigField, FieldOrigin
from tracetui.recipe.meta import llama_config, unknown_fields
from tracetui.recipe.model import Recipe
from tracetui.recipe.reference import is_reference_form, reference_config, unknown_reference_fields
from tracetui.recipe.toml import MAX_TOML_BYTES

_PARAMS = "params.json"
_WORDS = ("softmax", "sigmoid")
"""The values of fields that are words, as far as anything follows from them."""


@dataclass(frozen=True, slots=True)
class Language:
    """Another implementation's way to describe a model."""

    name: str
    """Whose fields they are."""
    table: str
    """What holds them in a recipe file."""
    translated: Callable[[Mapping[str, object], str], Mapping[str, object]]
    """transformers' configuration for them; the second argument is the file, for messages."""
    unknown: Callable[[Mapping[str, object]], tuple[str, ...]]
    explained: Callable[[str], str]


META = Language("Meta", "params", llama_config, unknown_fields, meta_explanation)
REFERENCE = Language(
    "the reference code", "reference", reference_config, unknown_reference_fields, reference_explanation
)


def params_of(recipe: Recipe) -> tuple[Language, dict[str, object]] | None:
    """The fields of another implementation that a recipe was read from, and whose they are; None if there are none."""
    origin = Path(recipe.origin)
    if origin.suffix == ".toml" and origin.is_file():
        document = parse_toml(read_bounded(origin, MAX_TOML_BYTES))
        tables = ((language, document.get(language.table)) for language in (META, REFERENCE))
        return next(((language, table) for language, table in tables if isinstance(table, dict)), None)
    if origin.is_dir() and (origin / _PARAMS).is_file():
        return META, read_json_object(origin / _PARAMS)
    if origin.suffix == ".json" and origin.is_file() and is_reference_form(params := read_json_object(origin)):
        return REFERENCE, params
    return None


def explained_params(language: Language, params: Mapping[str, object]) -> Iterator[ConfigField]:
    """Each of these fields with its meaning and the fields of transformers' that change with it."""
    unknown = language.unknown(params)
    for name, value in params.items():
        origin = FieldOrigin.UNDECLARED if name in unknown else FieldOrigin.GIVEN
        becomes = _becomes(language, params, name)
        yield ConfigField(name, value, origin, language.explained(name), becomes=becomes)


def _becomes(language: Language, params: Mapping[str, object], name: str) -> tuple[tuple[str, object], ...]:
    before = flat(language.translated(params, language.table))
    for other in _others(params[name]):
        try:
            after = flat(language.translated({**params, name: other}, language.table))
        except InputError:
            continue
        if changed := [field for field in {**before, **after} if before.get(field) != after.get(field)]:
            return tuple((field, before.get(field)) for field in changed)
    return ()


def _others(value: object) -> Iterator[object]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (2 * value, 3 * value, value // 2)
    elif isinstance(value, float):
        yield from (1.5 * value, value / 2)
    elif isinstance(value, str):
        yield from _WORDS


def flat(config: Mapping[str, object]) -> dict[str, object]:
    """A configuration with the keys of its inner tables as `outer.inner`."""
    fields: dict[str, object] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            fields.update({f"{name}.{inner}": worth for inner, worth in value.items()})
        else:
            fields[name] = value
    return fields
