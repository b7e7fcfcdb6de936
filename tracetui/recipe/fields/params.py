"""Meta's own fields: read again from where a recipe came from, and what becomes of each."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from tracetui.errors import InputError
from tracetui.paths import read_bounded
from tracetui.recipe.bounded import read_json_object
from tracetui.recipe.fields.explain import meta_explanation
from tracetui.recipe.fields.field import ConfigField, Origin
from tracetui.recipe.meta import llama_config, unknown_fields
from tracetui.recipe.model import Recipe
from tracetui.recipe.toml import MAX_TOML_BYTES

_PARAMS = "params.json"


def params_of(recipe: Recipe) -> dict[str, object] | None:
    """The fields of params.json, or of a recipe file's [params]; None if the model isn't described by them."""
    origin = Path(recipe.origin)
    if origin.suffix == ".toml" and origin.is_file():
        found = tomllib.loads(read_bounded(origin, MAX_TOML_BYTES).decode("utf-8")).get("params")
        return found if isinstance(found, dict) else None
    if origin.is_dir() and (origin / _PARAMS).is_file():
        return read_json_object(origin / _PARAMS)
    return None


def explained_params(params: Mapping[str, object]) -> Iterator[ConfigField]:
    """Each of Meta's fields with its meaning and the fields of transformers' that change with it."""
    unknown = unknown_fields(params)
    for name, value in params.items():
        origin = Origin.UNDECLARED if name in unknown else Origin.GIVEN
        yield ConfigField(name, value, origin, meta_explanation(name), becomes=_becomes(params, name))


def _becomes(params: Mapping[str, object], name: str) -> tuple[tuple[str, object], ...]:
    before = flat(llama_config(params, _PARAMS))
    for other in _others(params[name]):
        try:
            after = flat(llama_config({**params, name: other}, _PARAMS))
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


def flat(config: Mapping[str, object]) -> dict[str, object]:
    """A configuration with the keys of its inner tables as `outer.inner`."""
    found: dict[str, object] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found.update({f"{name}.{inner}": worth for inner, worth in value.items()})
        else:
            found[name] = value
    return found
