"""Names that mean one thing on one side and another on the other: by tables, by paths, and by values."""
