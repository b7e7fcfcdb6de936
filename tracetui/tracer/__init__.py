"""One forward pass under watch: hooks, capture, attention, statistics, and the thread it runs in."""
