"""Models whose tensors lie on several ranks of one program."""
