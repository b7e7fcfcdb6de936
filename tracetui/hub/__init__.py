"""Fetching a model's files from the Hugging Face hub, when a user asks for it and never else."""
