"""Draw a network: modules as nested boxes, tensors as edges."""
