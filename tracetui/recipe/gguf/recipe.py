"""The recipe that a GGUF file implies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tracetui.formats.gguf.files import GgufFiles, file_in, read_files
from tracetui.recipe.config import layer_count
from tracetui.recipe.gguf.config import gguf_config
from tracetui.recipe.model import BUILTIN_TOKENIZER, Layers, Recipe
from tracetui.recipe.prompts import WALK_THROUGH, texts
from tracetui.text import visible

_EPSILONS = ("layer_norm_rms_epsilon", "layer_norm_epsilon")
_NO_TOKENIZER = (None, "none", "no_vocab")


def check_gguf(path: Path) -> None:
    """Raises InputError for a folder with several models, and for files that are not what they should be."""
    read_files(_file_of(path))


def gguf_recipe(path: Path) -> Recipe:
    """The model in a file, in the files that it is split into, or the one in a folder. Raises InputError."""
    path = _file_of(path)
    files = read_files(path)
    config, unread = gguf_config(files)
    return Recipe(
        name=path.stem,
        title=f"{visible(files.architecture, 40)}, GGUF of {_main_type(files)}",
        origin=str(path),
        config=config,
        layers=Layers(0, layer_count(config)),
        tokenizer=_tokenizer(files) or BUILTIN_TOKENIZER,
        weights=files.path,
        prompts=texts(WALK_THROUGH),
        notes=tuple(f"{visible(path.name, 60)}: {note}" for note in _notes(files, unread)),
    )


def _notes(files: GgufFiles, unread: Sequence[str]) -> Iterator[str]:
    """What a file says that isn't read, and what it has to say and doesn't."""
    yield from (f"{visible(key, 60)} is not known and read over" for key in unread)
    rms, other = (f"{files.architecture}.attention.{name}" for name in _EPSILONS)
    if files.metadata.get(rms) is None and files.metadata.get(other) is None:
        yield f"{visible(rms, 60)} is missing: norms add what transformers' class has, which may not be the model's"


def tokenizer_of(path: Path) -> str:
    """The file with a model's vocabulary, given its file or its folder; empty where it has none. Raises InputError."""
    return _tokenizer(read_files(_file_of(path)))


def _tokenizer(files: GgufFiles) -> str:
    return "" if files.metadata.text("tokenizer.ggml.model") in _NO_TOKENIZER else str(files.path)


def _file_of(path: Path) -> Path:
    return (file_in(path) or path) if path.is_dir() else path


def _main_type(files: GgufFiles) -> str:
    """What most bytes are of."""
    sizes: Counter[str] = Counter()
    for tensor in files.tensors.values():
        sizes[tensor.type.name] += tensor.stop - tensor.start
    return max(sizes, key=lambda name: sizes[name])
