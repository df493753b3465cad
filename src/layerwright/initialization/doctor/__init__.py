"""The init doctor: what a network's first values do to signal and gradient, and what cures it."""
