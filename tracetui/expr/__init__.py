"""Stop and watch expressions: their names, their parsing, and what they say of a record."""
