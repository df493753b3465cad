"""Layers that read a sequence or a tree step by step and carry a state along."""
