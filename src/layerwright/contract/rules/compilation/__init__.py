"""Compilers and transforms: what turns a layer into a graph or a function gets the same layer."""
