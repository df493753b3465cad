"""Convolutions over images."""

from layerwright.layers.convolution.conv2d import Conv2d as Conv2d
from layerwright.layers.convolution.conv_block import ConvBlock as ConvBlock

__all__ = ["Conv2d", "ConvBlock"]
