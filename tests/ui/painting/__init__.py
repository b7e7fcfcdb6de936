"""Tests of how little is drawn."""
