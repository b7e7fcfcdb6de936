"""The command line that makes a trace again, from what its file says of the run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from tracetui.recipe.model import BUILTIN_TOKENIZER
from tracetui.recipe.options.table import OPTIONS
from tracetui.recording.trace import Trace

_RANDOM = "random"
_MOST_IDS = 256
_LONGEST_TEXT = 400
_AS_RECORDED = (
    "dtype",
    "device",
    "mla",
    "keep",
    "attention",
    "lens",
    "generate",
    "temperature",
    "top_k",
    "top_p",
    "sample_seed",
    "eos",
    "edits",
)
"""Options whose recorded value is what one types."""


def recorded_command(trace: Trace) -> str | None:
    """`tracetui trace MODEL …` with all that the run was told; None where the trace doesn't say which model it was.

    Of a checkpoint the model's name is the folder's or the file's own: where it lies isn't recorded.
    """
    recipe = trace.run.recipe
    prompts = None if trace.dump else _prompts(trace, recipe)
    if not trace.run.model or "weights" not in recipe or prompts is None:
        return None
    words = ["tracetui", "trace", trace.run.model, *_model(recipe), *prompts]
    for name in _AS_RECORDED:
        words += _option(name, recipe.get(name))
    return shlex.join(words)


def _model(recipe: Mapping[str, object]) -> Iterator[str]:
    layers = recipe.get("layers")
    if isinstance(layers, list | tuple) and len(layers) == 2:
        start, stop = layers
        yield from _option("layers", f"{start}:{stop}" if start else f"{stop}")
    if recipe.get("weights") == _RANDOM:
        yield from _option("weights", _RANDOM)
        yield from _option("seed", recipe.get("seed"))
    if recipe.get("tokenizer") == BUILTIN_TOKENIZER:
        yield from _option("tokenizer", BUILTIN_TOKENIZER)


def _prompts(trace: Trace, recipe: Mapping[str, object]) -> list[str] | None:
    """Texts where they can be typed, else ids; None where there are too many."""
    random, typed = recipe.get("random_tokens"), recipe.get("prompt")
    if isinstance(random, list | tuple):
        return _option("random_tokens", "x".join(map(str, random)))
    texts = [typed] if isinstance(typed, str) else typed
    if isinstance(texts, list) and all(map(_can_be_typed, texts)):
        chat = [*_option("chat", recipe.get("chat")), *_option("system", recipe.get("system") or None)]
        return [*_option("prompt", texts), *chat, *_option("special", recipe.get("special"))]
    rows = [
        [token.id for token in row[:length]] for row, length in zip(trace.tokens, trace.prompt_lengths, strict=True)
    ]
    if not rows or sum(map(len, rows)) > _MOST_IDS:
        return None
    return _option("tokens", [",".join(map(str, row)) for row in rows])


def _can_be_typed(text: object) -> bool:
    return isinstance(text, str) and text.isprintable() and 0 < len(text) <= _LONGEST_TEXT and text[0] != "@"


def _option(name: str, value: object) -> list[str]:
    """The words of one option; none where the run wasn't told it."""
    option = OPTIONS[name]
    if value is None:
        return []
    if option.switch is not None:
        return [option.flag] if value is option.switch else []
    if option.repeated and isinstance(value, list | tuple):
        return [word for each in value for word in _option(name, str(each))]
    text = (",".join(map(str, value)) or "none") if isinstance(value, list | tuple) else str(value)
    # A value that begins with a hyphen would be taken for another option.
    return [f"{option.flag}={text}"] if text.startswith("-") else [option.flag, text]
