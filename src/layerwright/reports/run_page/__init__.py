"""A page about one training run, or about two side by side: one section a file."""
