"""What the fields of a configuration mean, and where they contradict each other."""
