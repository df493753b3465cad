"""What a layer does not tell, found out: its constructor arguments."""
