"""Rules about running on another device than the CPU."""
