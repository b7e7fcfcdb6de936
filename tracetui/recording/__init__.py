"""What a run recorded: its data classes, the stores of values, and the file format."""
