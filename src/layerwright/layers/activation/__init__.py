"""Activation functions, each with a hand-written backward."""
