"""GGUF files: what they say of a model and where its tensors lie, read strictly; not what the names in them mean."""

from tracetui.formats.gguf.header import GgufHeader, GgufTensor, read_header
from tracetui.formats.gguf.metadata import Metadata, Value
from tracetui.formats.gguf.texts import Texts
from tracetui.formats.gguf.types import BlockType

__all__ = ["BlockType", "GgufHeader", "GgufTensor", "Metadata", "Texts", "Value", "read_header"]
