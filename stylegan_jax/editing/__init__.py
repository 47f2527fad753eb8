"""Steering and finding latents: directions of W, projection of pictures, files of latents."""
