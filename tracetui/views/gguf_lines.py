"""What a GGUF file says of itself, as lines of plain text and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from math import prod

import numpy as np

from tracetui.errors import InputError
from tracetui.formats.gguf import Texts, Value
from tracetui.formats.gguf.files import GgufFiles
from tracetui.recipe.gguf import gguf_config
from tracetui.recording.npz.encode import nullable
from tracetui.text import count, size, visible

_WIDTH, _INDENT = 80, 14
_LONGEST_TEXT = 300
_ABOUT = ("general.name", "general.organization", "general.license", "general.size_label")
_TOKENIZER, _CUT, _TOKENS, _TEMPLATE = (
    *("tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens", "tokenizer.chat_template"),
)


def gguf_lines(files: GgufFiles) -> Iterator[str]:
    """The file, its model, tensors and tokenizer, and every key of the metadata, at most 80 cells wide."""
    metadata = files.metadata
    byte_count = sum(header.path.stat().st_size for header in files.headers)
    several = f", in {len(files.headers)} files" if len(files.headers) > 1 else ""
    missing = f", without {len(files.missing)} that should be there" if files.missing else ""
    yield from _entry("file", [f"GGUF {files.headers[0].version}, {size(byte_count)}{several}{missing}"])
    yield from _entry("model", (visible(str(metadata[key]), 100) for key in _ABOUT if key in metadata))
    yield from _entry("architecture", [_architecture(files)])
    yield from _entry("tensors", _tensors(files))
    if isinstance(tokens := metadata.get(_TOKENS), Texts):
        cut = f", cut as {visible(str(metadata[_CUT]), 40)}" if _CUT in metadata else ""
        template = "; a chat template" if _TEMPLATE in metadata else ""
        kind = visible(str(metadata.get(_TOKENIZER)), 40)
        yield from _entry("tokenizer", [f"{kind}{cut}, {len(tokens):,} tokens{template}"])
    yield ""
    for key, value in metadata.items():
        yield f"{visible(key, 60):<44} {visible(_short(value), 60)}".rstrip()


def gguf_json(files: GgufFiles, path: str) -> str:
    """The same for machines: of arrays their lengths and what they hold, floats that JSON has none for by name."""
    tensors = {
        visible(name): {"type": place.type.name, "shape": list(place.shape), "bytes": place.stop - place.start}
        for name, place in files.tensors.items()
    }
    document = {
        "file": path,
        "bytes": sum(header.path.stat().st_size for header in files.headers),
        "gguf": files.headers[0].version,
        "missing": list(files.missing),
        "metadata": {visible(key): _plain(value) for key, value in files.metadata.items()},
        "tensors": tensors,
    }
    return json.dumps(document, allow_nan=False)


def _architecture(files: GgufFiles) -> str:
    """What it is and what becomes of it, or why nothing does."""
    try:
        config, unread = gguf_config(files)
    except InputError as error:
        return str(error).removeprefix(f"{files.path}: ")
    kind = f"{visible(files.architecture, 40)}, which runs as transformers' {config['model_type']}"
    return f"{kind}; read over: {', '.join(visible(key, 60) for key in unread)}" if unread else kind


def _tensors(files: GgufFiles) -> Iterator[str]:
    kinds = Counter(place.type.name for place in files.tensors.values())
    elements = sum(prod(place.shape) for place in files.tensors.values())
    yield f"{len(files.tensors):,}: " + ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())
    byte_count = sum(place.stop - place.start for place in files.tensors.values())
    if elements:
        yield f"{count(elements)} elements, {8 * byte_count / elements:.3g} bits each"


def _entry(name: str, facts: Iterable[str]) -> Iterator[str]:
    text = " · ".join(facts)
    for place, line in enumerate(textwrap.wrap(text, _WIDTH - _INDENT) if text else ()):
        yield f"{'' if place else name:<{_INDENT}}{line}"


def _short(value: Value) -> str:
    if isinstance(value, Texts | np.ndarray | tuple):
        kind = "text" if isinstance(value, Texts) else "item"
        return f"{len(value):,} {kind}{'s' if len(value) != 1 else ''}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(value: Value) -> object:
    if isinstance(value, Texts | np.ndarray | tuple):
        return {"length": len(value), "kind": "texts" if isinstance(value, Texts) else "items"}
    if isinstance(value, float):
        return nullable(value)
    return visible(value, _LONGEST_TEXT) if isinstance(value, str) else value
