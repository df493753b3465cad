"""A layer starts from values that training can work with."""
