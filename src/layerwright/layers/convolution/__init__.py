"""Convolutions over images."""

from layerwright.layers.convolution.conv2d import Conv2d as Conv2d

__all__ = ["Conv2d"]
