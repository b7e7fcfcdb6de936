"""Pairs of runs that are right: what compares them must find them the same, and may never blame anything."""
