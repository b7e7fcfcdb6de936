"""The tokenizer that a GGUF file brings along: the same ids as llama.cpp's."""

from tracetui.models.tokenizers.gguf.tokenizer import GgufTokenizer, open_gguf_tokenizer

__all__ = ["GgufTokenizer", "open_gguf_tokenizer"]
