"""The recipe that a trace was recorded by: to run it again, or to tell."""
