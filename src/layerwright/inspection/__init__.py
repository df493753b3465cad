"""Look into a network: what its modules do, how large they are, and what they cost."""
