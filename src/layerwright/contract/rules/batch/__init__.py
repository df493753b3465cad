"""Batch and axes: what samples, positions and masks may do to each other."""
