"""The traces of many ranks as the one trace of the whole model: read piece by piece, and never guessed."""
