"""The folder that keeps what takes long to get or to make: weights, features of samples, drawn faces."""

import os


def cache_folder() -> str:
    """Returns the folder for all that is kept between runs.

    It is $STYLEGAN_JAX_CACHE, else stylegan_jax in $XDG_CACHE_HOME or ~/.cache. Compiled programs are in the same
    folder by default, but do not follow $STYLEGAN_JAX_CACHE: see `runtime.compile_cache`.
    """
    caches = os.environ.get('XDG_CACHE_HOME') or os.path.join('~', '.cache')
    own = os.environ.get('STYLEGAN_JAX_CACHE') or os.path.join(caches, 'stylegan_jax')
    return os.path.abspath(os.path.expanduser(own))
