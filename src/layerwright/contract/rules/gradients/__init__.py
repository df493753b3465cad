"""Backward is the derivative of forward, whatever it is fed and however often it runs."""
