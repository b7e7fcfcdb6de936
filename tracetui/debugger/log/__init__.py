"""What the log says, and how much it matters."""
