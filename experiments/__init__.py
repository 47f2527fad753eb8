"""One small file for each published setting, and some for one's own pictures, for a CPU, and for later options.

Each has `get_config() -> Config` and builds on another where it differs in little, so that the difference is
what one reads. `python -m stylegan_jax.main --help` lists them with the first line of each docstring.
"""
