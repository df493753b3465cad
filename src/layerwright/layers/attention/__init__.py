"""Layers that let positions look at each other, and at where they stand."""
