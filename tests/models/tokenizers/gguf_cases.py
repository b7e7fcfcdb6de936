"""Files whose ids llama.cpp was asked for: one for each way of cutting words, and SentencePiece's kind in all its ways.

`python -m tests.llama_cpp` asks again, and writes `llama_cpp_ids.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.models.tokenizers.gguf_files import TEXTS, byte_level, scored
from tracetui.models.tokenizers.gguf.cuts import WORD_CUTS

RECORDED = Path(__file__).with_name("llama_cpp_ids.json")
Ids = list[list[int]]
"""Of each text, alone and without special tokens; then with those and with what is put around."""


@cache
def cases() -> Mapping[str, dict[str, Any]]:
    """Metadata by the name of the case."""
    ways = {f"gpt2 {pre}": byte_level(**{"tokenizer.ggml.pre": pre}) for pre in WORD_CUTS}
    return {
        **ways,
        "gpt2 without pre": byte_level(**{"tokenizer.ggml.pre": None}),
        "gpt2 begun and ended": byte_level(
            **{"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": True}
        ),
        "gemma4": scored(
            **{
                "tokenizer.ggml.model": "gemma4",
                "tokenizer.ggml.bos_token_id": 1,
                "tokenizer.ggml.merges": ["t h", "▁ th", "h i", "▁ ▁", "\n \n"],
            }
        ),
        "llama": scored(),
        "llama without a blank first": scored(**{"tokenizer.ggml.add_space_prefix": False}),
        "llama, Phi-3": scored(**{"general.name": "Phi 3 mini (phi-3)"}),
        "llama ended": scored(**{"tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.add_eos_token": True}),
        "llama without scores": scored(**{"tokenizer.ggml.scores": None}),
    }


def recorded() -> Mapping[str, Ids]:
    """What llama.cpp answered, by case."""
    document = json.loads(RECORDED.read_text())
    assert document["texts"] == list(TEXTS)
    return {name: ids for names, ids in document["ids"] for name in names}
