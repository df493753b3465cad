"""Layers that add what they compute to what came in."""
