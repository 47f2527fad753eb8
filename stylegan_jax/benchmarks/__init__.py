"""What `python -m stylegan_jax.benchmark` measures, one file a subject."""
