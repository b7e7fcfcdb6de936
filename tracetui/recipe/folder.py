"""What a folder with a model implies: Meta's form, Hugging Face's, or that of DeepSeek's reference code."""

from __future__ import annotations

from pathlib import Path

from tracetui.errors import InputError, bad_field
from tracetui.file_kinds import GGUF_SUFFIX, is_gguf
from tracetui.formats.table import read_json_object
from tracetui.paths import inside
from tracetui.recipe.config import check_config, layer_count
from tracetui.recipe.meta import llama_config, unknown_fields
from tracetui.recipe.model import BUILTIN_TOKENIZER, Layers, Recipe
from tracetui.recipe.prompts import WALK_THROUGH, texts
from tracetui.recipe.reference import is_reference_form, reference_config, unknown_reference_fields
from tracetui.recipe.text_part import note, text_part
from tracetui.text import visible

PARAMS, CONFIG, TOKENIZER = "params.json", "config.json", "tokenizer.json"
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
"""The weights in one file, and the list of files where they are several."""
ADAPTER = "adapter_config.json"
"""What PEFT writes beside an adapter's weights."""
_META_TOKENIZER = "tokenizer.model"
_REFERENCE_CONFIGS = "config_*.json"
"""How the reference code's own configurations are called: config_671B.json."""


def folder_recipe(folder: Path) -> Recipe:
    """What a folder implies; its weights are opened when they are needed.

    Raises InputError for a folder of no such form.
    """
    if (folder / PARAMS).is_file() and has_meta_form(folder):
        return _meta_recipe(folder)
    if (folder / CONFIG).is_file():
        return config_recipe(folder / CONFIG, weights=folder)
    if others := sorted(path for path in folder.glob(_REFERENCE_CONFIGS) if path.is_file()):
        if len(others) > 1:
            raise bad_field(
                folder, CONFIG, "is missing, and several could be meant; keep one of", [p.name for p in others]
            )
        return config_recipe(others[0], weights=folder)
    if has_gguf_form(folder):
        from tracetui.recipe.gguf.recipe import gguf_recipe

        return gguf_recipe(folder)
    if (folder / ADAPTER).is_file():
        problem = "is of an adapter, and its model's own files aren't beside it"
        raise InputError(f"{folder}: {ADAPTER}: {problem}; merge it into its model and give the folder that this makes")
    raise InputError(f"{folder}: {CONFIG}: is missing, and so is {PARAMS}; a folder with a model has one of them")


def has_config(folder: Path) -> bool:
    """Whether a folder says in any form what model it is of."""
    return any((folder / name).is_file() for name in (PARAMS, CONFIG)) or any(folder.glob(_REFERENCE_CONFIGS))


def has_meta_form(folder: Path) -> bool:
    """Whether a folder that may hold both forms is Meta's: its checkpoint is there, or nothing of the other's."""
    ours = any((folder / name).is_file() for name in SAFETENSORS) or any(folder.glob("model-*-of-*.safetensors"))
    return any(folder.glob("consolidated.*.pth")) or ((folder / PARAMS).is_file() and not ours)


def has_gguf_form(path: Path) -> bool:
    """Whether a path is a GGUF file, or of a folder with one and without safetensors."""
    if path.is_file():
        return is_gguf(path)
    return any(path.glob(f"*{GGUF_SUFFIX}")) and not any(path.glob("*.safetensors*"))


def config_recipe(path: Path, weights: Path | None = None) -> Recipe:
    """The model that a config.json describes, with random weights unless a folder of weights is given."""
    folder = path.absolute().parent
    document = read_json_object(inside(path.parent, path.name))
    by_reference = is_reference_form(document)
    part = None if by_reference else text_part(document, path)
    config = reference_config(document, path) if by_reference else check_config(document, path)
    unknown = unknown_reference_fields(document) if by_reference else ()
    form = "the reference code's form" if by_reference else "Hugging Face"
    tokenizer = inside(path.parent, TOKENIZER)
    return Recipe(
        name=folder.resolve().name if weights or path.name == CONFIG else path.stem,
        title=f"{visible(str(config['model_type']), 40)}, {form if weights else 'its configuration alone'}",
        origin=str(path),
        config=config,
        layers=Layers(0, layer_count(config)),
        tokenizer=str(tokenizer) if tokenizer.is_file() else _packed_tokenizer(weights) or BUILTIN_TOKENIZER,
        weights=weights,
        prompts=texts(WALK_THROUGH),
        notes=(note(part, path.name),) if part else _read_over(path.name, unknown),
    )


def _packed_tokenizer(weights: Path | None) -> str:
    """The GGUF file of the weights, which brings its tokenizer along; empty where there is none."""
    if weights is None or not has_gguf_form(weights):
        return ""
    from tracetui.recipe.gguf.recipe import tokenizer_of

    return tokenizer_of(weights)


def _meta_recipe(folder: Path) -> Recipe:
    params_file = inside(folder, PARAMS)
    params = read_json_object(params_file)
    config = llama_config(params, params_file)
    tokenizer = inside(folder, _META_TOKENIZER)
    return Recipe(
        name=folder.resolve().name,
        title="Llama, Meta's files",
        origin=str(folder),
        config=config,
        layers=Layers(0, layer_count(config)),
        tokenizer=str(tokenizer) if tokenizer.exists() else BUILTIN_TOKENIZER,
        weights=folder,
        prompts=texts(WALK_THROUGH),
        notes=_read_over(PARAMS, unknown_fields(params)),
    )


def _read_over(file: str, unknown: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{visible(file, 60)}: {visible(field, 60)} is not known and read over" for field in unknown)
