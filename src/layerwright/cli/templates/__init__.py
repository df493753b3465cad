"""What `layerwright new` writes: a working layer and its test, whose names are replaced."""
