"""How breaches are demonstrated: observations that several rules share."""
