"""What the home screen offers: read from disk, without torch and without a screen."""
