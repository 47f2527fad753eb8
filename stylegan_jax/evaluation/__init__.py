"""Measuring networks: samples through feature networks to the numbers of `metrics`, with how they were obtained."""
