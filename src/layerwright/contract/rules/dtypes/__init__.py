"""Rules about number formats: float64, bfloat16, float16, autocast."""
