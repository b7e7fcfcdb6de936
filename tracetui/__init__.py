"""tracetui: a terminal debugger for the forward pass of language models."""

__version__ = "0.1.0"
