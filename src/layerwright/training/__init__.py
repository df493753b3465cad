"""Exact training: fit, evaluate, predict and resume, and what they are made of."""
