"""Data: built-in sets, a user's own, exact splits, and batches that can be replayed bit for bit."""
