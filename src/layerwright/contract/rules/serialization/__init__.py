"""What a layer promises about being copied, saved and loaded."""
