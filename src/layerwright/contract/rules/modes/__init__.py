"""What a layer promises about training mode, eval mode and switching between them."""
