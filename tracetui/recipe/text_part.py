"""The text model inside a configuration of several parts, as transformers' own class would read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracetui.errors import InputError
from tracetui.recipe.class_defaults import parts_of
from tracetui.text import visible

_TEXT = ("text_config", "llm_config", "language_config", "thinker_config")
"""What a configuration calls the part that is a text model, or that holds it."""
_OF_THE_WHOLE = ("quantization_config", "quantization", "compression_config", "dtype", "torch_dtype", "auto_map")
"""What is said once for all parts."""
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
_TIED = "tie_word_embeddings"
_DEEPEST = 3


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text model's configuration, and where it stood."""

    config: Mapping[str, object]
    place: str
    """The path of the text model's fields, such as `thinker_config.text_config`; empty at the top level."""
    unread: tuple[str, ...]
    """The names of the other parts."""


def text_part(whole: Mapping[str, object], where: str | Path) -> TextPart | None:
    """The text model of a configuration of several parts; None if it has one part only.

    Raises InputError if the part doesn't say what model it is.
    """
    known = parts_of(whole.get("model_type"))
    name = next((name for name in _TEXT if isinstance(whole.get(name), dict)), None)
    if name is None:
        if known is None or not known.flat:
            return None
        own = {field: value for field, value in whole.items() if not _is_part(field, value)}
        return TextPart({**own, "model_type": known.text, **_tied(whole, own)}, "", _others(whole, ""))
    inner, path = _innermost(whole, name)
    kind = inner.get("model_type") or (known.text if known else None)
    if kind is None:
        problem = "is missing, so that nobody knows which text model it is; write it in"
        raise InputError(f"{where}: {path}.model_type: {problem}")
    said = {field: whole[field] for field in _OF_THE_WHOLE if field in whole and inner.get(field) is None}
    tokens = {field: whole[field] for field in _TOKENS if field in whole and field not in inner}
    return TextPart({**inner, **said, **tokens, "model_type": kind, **_tied(whole, inner)}, path, _others(whole, name))


def note(part: TextPart, file: str) -> str:
    """What of a configuration isn't read, in a line."""
    what = f"the text model of {part.place}" if part.place else "the text model"
    beside = f"; {', '.join(visible(name, 40) for name in part.unread)} not read" if part.unread else ""
    return f"{visible(file, 60)}: {what} alone is built{beside}"


def _innermost(whole: Mapping[str, object], name: str) -> tuple[Mapping[str, object], str]:
    """The part of that name, or the text model that it holds in turn; and the fields that lead to it."""
    inner, path = whole[name], name
    for _ in range(_DEEPEST):
        assert isinstance(inner, dict)
        deeper = next((name for name in _TEXT if isinstance(inner.get(name), dict)), None)
        if deeper is None:
            break
        inner, path = inner[deeper], f"{path}.{deeper}"
    assert isinstance(inner, dict)
    return inner, path


def _tied(whole: Mapping[str, object], inner: Mapping[str, object]) -> dict[str, object]:
    """Whether the head is the embedding: the outermost configuration decides, as the class of the whole ties them."""
    known = parts_of(whole.get("model_type"))
    if isinstance(whole.get(_TIED), bool):
        return {_TIED: whole[_TIED]}
    if known is not None and known.tied is not None:
        return {_TIED: known.tied}
    return {_TIED: inner[_TIED]} if _TIED in inner else {}


def _others(whole: Mapping[str, object], name: str) -> tuple[str, ...]:
    return tuple(field for field, value in whole.items() if field != name and _is_part(field, value))


def _is_part(field: str, value: object) -> bool:
    return field.endswith("_config") and field not in _OF_THE_WHOLE and isinstance(value, dict)
