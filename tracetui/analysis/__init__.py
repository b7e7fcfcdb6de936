"""Plain functions over a trace: nothing here knows torch or a screen."""
