"""What of a module can be recorded, and what of it escapes."""
