"""What `layerwright report` gathers from a run before the page is rendered."""
