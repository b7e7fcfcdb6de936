"""How much memory a run takes, from shapes alone: before anything of it is allocated."""
