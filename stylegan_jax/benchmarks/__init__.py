"""The measurements of `python -m stylegan_jax.benchmark`, one file for each subject."""
