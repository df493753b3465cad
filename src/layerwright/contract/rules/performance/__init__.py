"""Rules about what a layer costs: memory that stays, operators that multiply."""
