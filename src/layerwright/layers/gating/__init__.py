"""Layers that learn how much of a signal to let through."""
