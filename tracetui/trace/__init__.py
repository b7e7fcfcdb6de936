"""What was recorded: data classes, stored values, stepping over them, and the npz file."""
