"""How little is drawn when something changes."""
