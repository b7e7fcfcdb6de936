"""Text to token ids and back, exact to the byte, without torch and without the network."""

from tracetui.models.tokenizers.load import load_tokenizer
from tracetui.models.tokenizers.protocol import Tokenizer, check_ids

__all__ = ["Tokenizer", "check_ids", "load_tokenizer"]
