"""The Python interface: what `import tracetui` offers, over the layers below."""
