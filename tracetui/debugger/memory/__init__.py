"""What a model's last session leaves for the next: stops, watches, edits, prompt and layout."""
