"""From a recipe to a model that can run: its tree on no memory, its weights from files or a seed."""
