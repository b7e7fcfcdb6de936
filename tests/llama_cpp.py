"""llama.cpp's own answers, by the Python package llama-cpp-python: `python -m tests.llama_cpp`.

It isn't among the packages that tests need; `make gguf LLAMA_CPP=1` builds it apart, and compares with what it says.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.models.tokenizers.gguf_cases import RECORDED, Ids, cases
from tests.models.tokenizers.gguf_files import TEXTS, written


def library() -> Any:
    """The package. Raises ImportError where it isn't installed."""
    llama_cpp: Any = importlib.import_module("llama_cpp")
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p())
    llama_cpp.llama_backend_init()
    llama_cpp.kept_callback = quiet  # as long as the library may call it
    return llama_cpp


class Vocabulary:
    """The tokenizer of a file, as llama.cpp reads it."""

    def __init__(self, path: Path) -> None:
        self._library = library()
        params = self._library.llama_model_default_params()
        params.vocab_only = True
        self._model = self._library.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise ValueError(f"{path}: llama.cpp doesn't load it")
        self._vocabulary = self._library.llama_model_get_vocab(self._model)

    def ids(self, text: str, *, around: bool, specials: bool) -> list[int]:
        content = text.encode()
        room = 2 * len(content) + 16
        ids = (self._library.llama_token * room)()
        count = self._library.llama_tokenize(self._vocabulary, content, len(content), ids, room, around, specials)
        return list(ids[:count])

    def end_ids(self) -> list[int]:
        """Those at which generating stops."""
        count = self._library.llama_vocab_n_tokens(self._vocabulary)
        return [number for number in range(count) if self._library.llama_vocab_is_eog(self._vocabulary, number)]

    def close(self) -> None:
        self._library.llama_model_free(self._model)


def logits_of(path: Path, ids: Sequence[int]) -> npt.NDArray[np.float32]:
    """The logits [T,V] after each token: attention as it is written, keys and values in float32, nothing kept apart."""
    llama_cpp = library()
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    if not model:
        raise ValueError(f"{path}: llama.cpp doesn't load it")
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 64
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = params.flash_attn_type = 0
    context = llama_cpp.llama_init_from_model(model, params)
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for place, token in enumerate(ids):
        batch.token[place], batch.pos[place] = token, place
        batch.n_seq_id[place], batch.seq_id[place][0], batch.logits[place] = 1, 0, 1
    if status := llama_cpp.llama_decode(context, batch):
        raise ValueError(f"{path}: llama_decode: {status}")
    width = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    rows = (llama_cpp.llama_get_logits_ith(context, place) for place in range(len(ids)))
    logits = np.stack([np.ctypeslib.as_array(row, (width,)).copy() for row in rows])  # [T,V]
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return logits


def ids_of(path: Path) -> Ids:
    """What llama.cpp makes of every text, in both ways."""
    vocabulary = Vocabulary(path)
    try:
        return [vocabulary.ids(text, around=asked, specials=asked) for text in TEXTS for asked in (False, True)]
    finally:
        vocabulary.close()


def record_tokens() -> None:
    """Write what llama.cpp says of every case, those that say the same together."""
    groups: dict[str, tuple[list[str], Ids]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, metadata in cases().items():
            ids = ids_of(written(Path(folder) / "vocabulary.gguf", metadata))
            groups.setdefault(json.dumps(ids), ([], ids))[0].append(name)
    document = {"texts": list(TEXTS), "ids": list(groups.values())}
    RECORDED.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.write(f"{RECORDED}: {len(cases())} cases, {len(groups)} of them different\n")


if __name__ == "__main__":
    record_tokens()
