"""Training: parameters are used, get gradients, and follow the optimizer."""
