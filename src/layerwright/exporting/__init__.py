"""Export: a network as a file that is known to compute the same, and answers from such files."""
