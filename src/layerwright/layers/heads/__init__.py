"""The last layers of a network, which turn features into answers."""
