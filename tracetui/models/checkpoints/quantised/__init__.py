"""Weights that a file stores in fewer bits: one description for each form, and the numbers that it stands for."""
