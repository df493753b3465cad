"""Rules about what floating-point numbers do at the edges."""
