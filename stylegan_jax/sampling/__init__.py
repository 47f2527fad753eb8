"""Latents in, pictures out: samplers for numbers, painters for figures, grids of images."""
