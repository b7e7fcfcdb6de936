"""A recipe file: TOML with the model's fields in a table.

[config] has transformers' names, [params] Meta's, [reference] those of DeepSeek-V3's reference code. With a base the
table holds the changed fields alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tracetui import paths
from tracetui.errors import InputError, bad_field
from tracetui.formats.table import Fields, read_json_object
from tracetui.formats.toml import TomlError, parse_toml
from tracetui.paths import read_bounded
from tracetui.recipe.config import check_config, layer_count
from tracetui.recipe.meta import llama_config
from tracetui.recipe.model import BUILTIN_TOKENIZER, Recipe, parse_layers
from tracetui.recipe.options import OPTIONS
from tracetui.recipe.prompts import Prompts, prompts_of
from tracetui.recipe.reference import is_reference_form, reference_config
from tracetui.text import visible

MAX_TOML_BYTES = 64 * 2**10
_TABLES = {"config": check_config, "params": llama_config, "reference": reference_config}
_BASE = "base"
_OPTIONS = tuple(option.name for option in OPTIONS.values() if option.in_recipes)
_OF_SEVERAL = frozenset({"layers", "weights", "tokenizer", "prompt", "random_tokens", "chat", "system"})
"""Keys that mean something only with another one, or with the folder of the file."""
_AS_READ = tuple(name for name in _OPTIONS if name not in _OF_SEVERAL)
"""Keys whose values go into the recipe as the option's reader returns them."""
_KEYS = ("title", *_OPTIONS, _BASE, *_TABLES)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file. Raises InputError reading `file: key: problem, got …`."""
    found = _parse(path)
    fields = Fields(found, path)
    config = _config(fields, path)
    count = layer_count(config)
    return Recipe(
        name=path.stem,
        title=fields.text("title", default=path.stem),
        origin=str(path),
        config=config,
        layers=parse_layers(_layers(fields, count), count, f"{path}: layers"),
        **{
            OPTIONS[name].into: OPTIONS[name].read(found[name], f"{path}: {name}") for name in _AS_READ if name in found
        },
        tokenizer=_beside(path, fields.text("tokenizer", default=BUILTIN_TOKENIZER)),
        weights=_weights(path, fields.text("weights", default="random")),
        prompts=_prompts(fields, path),
    )


def _parse(path: Path) -> dict[str, object]:
    try:
        found: dict[str, object] = parse_toml(read_bounded(path, MAX_TOML_BYTES))
    except TomlError as error:
        raise InputError(f"{path}: {error}") from error
    for key in found:
        if key not in _KEYS:
            raise InputError(f"{path}: {visible(key, 80)}: is not a key of a recipe; there are {', '.join(_KEYS)}")
    return found


def _config(fields: Fields, path: Path) -> dict[str, object]:
    name, table = _table(fields) if _BASE not in fields.found else _laid_over(fields, path)
    return _TABLES[name](table, fields.where, f"{name}.")


def _table(fields: Fields) -> tuple[str, dict[str, object]]:
    tables = {name: fields.found[name] for name in _TABLES if name in fields.found}
    if len(tables) != 1:
        raise bad_field(fields.where, "config", "a recipe has one table of [config], [params] and [reference]")
    name, table = tables.popitem()
    if not isinstance(table, dict):
        raise bad_field(fields.where, name, "must be a table", table)
    return name, table


def _laid_over(fields: Fields, path: Path) -> tuple[str, dict[str, object]]:
    """The base's fields with the recipe's own in place of some."""
    name, table = _read_base(_base_file(path, fields.text(_BASE)))
    if not any(own in fields.found for own in _TABLES):
        return name, table
    own, changes = _table(fields)
    if own != name:
        fields.fail(_BASE, f"has the fields of a [{name}], and those laid over it must be such too, not of [{own}]")
    return name, {**table, **changes}


def _base_file(path: Path, said: str) -> Path:
    """A recipe that ships with tracetui, else a file beside this one."""
    shipped = {found.stem: found for found in paths.demo_configs().glob("*.toml")}
    return shipped.get(said) or path.parent / paths.expanded(said)


def _read_base(path: Path) -> tuple[str, dict[str, object]]:
    """A base's table, checked by itself: what is wrong with it is told of its own file."""
    if path.suffix == ".json":
        found = read_json_object(path)
        name = "config" if "model_type" in found else "reference" if is_reference_form(found) else "params"
        prefix = ""
    else:
        fields = Fields(_parse(path), path)
        if _BASE in fields.found:
            fields.fail(_BASE, "must be missing from a recipe that another one is based on")
        name, found = _table(fields)
        prefix = f"{name}."
    _TABLES[name](found, path, prefix)
    return name, found


def _layers(fields: Fields, count: int) -> str:
    said = fields.found.get("layers", count)
    if isinstance(said, bool) or not isinstance(said, int | str):
        fields.fail("layers", "must be a count like 2 or a range like '3:7'")
    return str(said)


def _prompts(fields: Fields, path: Path) -> Prompts:
    found = prompts_of(fields.found.get("prompt"), fields.found.get("random_tokens"), path)
    if fields.flag("chat") and found.random:
        fields.fail("chat", "needs texts; random ids go through no template")
    return replace(found, chat=fields.flag("chat"), system=fields.text("system", default=""))


def _weights(path: Path, said: str) -> Path | None:
    return None if said == "random" else path.parent / paths.expanded(said)


def _beside(path: Path, tokenizer: str) -> str:
    """A tokenizer given as a path is looked for beside the recipe."""
    looks_like_path = "/" in tokenizer or tokenizer.endswith((".model", ".json", ".tiktoken"))
    return str(path.parent / paths.expanded(tokenizer)) if looks_like_path else tokenizer
