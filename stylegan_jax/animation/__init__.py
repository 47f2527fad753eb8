"""Pictures that move: paths through latents, noise and training, and the files that hold them."""
