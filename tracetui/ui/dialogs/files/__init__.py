"""Dialogs that ask for a file."""
