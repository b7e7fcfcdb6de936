"""The screen in a browser: a server that starts the program for each visitor, through textual-serve."""
