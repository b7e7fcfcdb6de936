"""A watched model that several ranks of one program run together."""
