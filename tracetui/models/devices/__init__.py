"""Devices beside the processor: which one a model runs on, how weights get there, and what there is of its memory."""
