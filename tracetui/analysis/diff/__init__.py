"""Two traces compared: the first tensor that differs, what fed it, and what kind of fault it looks like."""
