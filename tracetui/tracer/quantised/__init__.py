"""Runs of a model of whose weights some are those of a quantised one."""
