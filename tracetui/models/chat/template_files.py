"""Where a model's chat template stands: in files beside it, or in the metadata of its GGUF file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tracetui.errors import InputError, bad_field
from tracetui.formats.gguf import Metadata
from tracetui.formats.gguf.files import read_files
from tracetui.formats.json_text import parse_json_object
from tracetui.formats.table import MAX_CONFIG_BYTES
from tracetui.models.chat.template import ChatTemplate
from tracetui.paths import inside, read_bounded
from tracetui.text import visible

MAX_TEMPLATE = 2**18
_JINJA, _CONFIG, _OLD = "chat_template.jinja", "tokenizer_config.json", "chat_template.json"
_MAX_DIGITS = 40
"""transformers writes 10^30, as a float makes it, for a length without a limit."""
_VARIABLES = ("bos_token", "eos_token", "unk_token", "pad_token")
_GGUF_VARIABLES = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
GGUF_KEY = "tokenizer.chat_template"


def find_template(places: Sequence[Path]) -> ChatTemplate | None:
    """The template of the first place that has one: a folder, where transformers looks for it, or a GGUF file.

    Raises InputError for a bad file.
    """
    for place in places:
        if (template := _of_folder(place) if place.is_dir() else gguf_template(place)) is not None:
            return _checked(template)
    return None


def template_files(places: Sequence[Path]) -> list[Path]:
    """The files that a template may stand in, there or not."""
    return [file for place in places for file in (_in_folder(place) if place.is_dir() else (place,))]


def looked_for(places: Sequence[Path]) -> str:
    """The same, in words."""
    return ", ".join(map(str, template_files(places))) or "no folder"


def gguf_template(path: Path) -> ChatTemplate | None:
    """The template in a GGUF file. Raises InputError where it has several and none is the usual one."""
    metadata = read_files(path).metadata
    for key in (GGUF_KEY, f"{GGUF_KEY}.default"):
        if (text := metadata.text(key)) is not None:
            return ChatTemplate(path, text, _gguf_variables(metadata))
    names = [key.removeprefix(f"{GGUF_KEY}.") for key in metadata if key.startswith(f"{GGUF_KEY}.")]
    if names:
        raise bad_field(
            path, GGUF_KEY, f"is missing, and tracetui takes none of {visible(', '.join(names), 120)} for it"
        )
    return None


def _gguf_variables(metadata: Metadata) -> Mapping[str, str]:
    tokens = metadata.texts("tokenizer.ggml.tokens") or ()
    ids = {name: metadata.integer(f"tokenizer.ggml.{kind}_token_id") for name, kind in _GGUF_VARIABLES.items()}
    return {name: tokens[number] for name, number in ids.items() if number is not None and 0 <= number < len(tokens)}


def _in_folder(folder: Path) -> list[Path]:
    return [folder / name for name in (_JINJA, _CONFIG, _OLD)]


def _of_folder(folder: Path) -> ChatTemplate | None:
    jinja, *others = _in_folder(folder)
    documents = [_read_config(path) for path in others]
    variables = {name: text for name in _VARIABLES if (text := _token_text(documents[0].get(name)))}
    if jinja.is_file():
        return ChatTemplate(jinja, _text(jinja), variables)
    for path, document in zip(others, documents, strict=True):
        if (template := document.get("chat_template")) is not None:
            return ChatTemplate(path, _default(template, path), variables)
    return None


def _read_config(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    content = read_bounded(inside(path.parent, path.name), MAX_CONFIG_BYTES)
    return parse_json_object(content, path, most_digits=_MAX_DIGITS)


def _text(path: Path) -> str:
    try:
        return read_bounded(inside(path.parent, path.name), MAX_TEMPLATE).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text, at byte {error.start}") from error


def _token_text(token: object) -> str:
    """A special token's text, however the file writes it."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""


def _default(template: object, path: Path) -> str:
    """The template itself; of several named ones the one called `default`."""
    if isinstance(template, list):
        named = {item.get("name"): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default", template)
    if not isinstance(template, str):
        raise bad_field(
            path, "chat_template", "must be a text, or a list of templates with one named default", template
        )
    return template


def _checked(template: ChatTemplate) -> ChatTemplate:
    if len(template.text) > MAX_TEMPLATE:
        raise bad_field(
            template.path, "chat_template", f"has {len(template.text):,} characters, more than {MAX_TEMPLATE:,}"
        )
    return template
