"""What quantising a model did, in numbers."""
