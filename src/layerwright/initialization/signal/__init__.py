"""What passes through a network: its layers and activations, seen by hooks."""
