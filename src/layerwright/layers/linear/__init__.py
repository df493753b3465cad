"""Affine maps of the last dim."""

from layerwright.layers.linear.linear import Linear as Linear

__all__ = ["Linear"]
