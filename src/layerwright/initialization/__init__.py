"""Initialisation: recipes for the values that a network starts from."""
