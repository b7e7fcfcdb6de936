"""What different implementations call the same tensor, and how they lay it out."""
