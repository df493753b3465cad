"""Layers that normalise what passes through them."""
