"""Code compiled from C, where this installation has it; everything works without it, only slower."""
