"""What quantising did, in words and tables."""
