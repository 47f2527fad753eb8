"""StyleGAN in JAX and Flax."""
