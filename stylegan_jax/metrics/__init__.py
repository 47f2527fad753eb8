"""Measures of how good images are, each in a file of its own."""
