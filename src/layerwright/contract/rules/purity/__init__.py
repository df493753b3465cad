"""Forward is a function: it leaves inputs, state and the process as they are."""
