"""Layers that summarise the windows or blocks of a map."""
