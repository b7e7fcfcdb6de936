"""GGUF files as models: their metadata read as transformers' configuration, and the recipe that they imply."""

from tracetui.recipe.gguf.config import gguf_config

__all__ = ["gguf_config"]
