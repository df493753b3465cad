"""Networks: parts that fit together, and a loss that fits the output."""
