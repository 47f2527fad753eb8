"""Sources of full-size pictures for `prepare_data`, of which `open_source` opens any."""

from stylegan_jax.data.fitting import Unusable
from stylegan_jax.data.sources.opening import open_source

__all__ = ['Unusable', 'open_source']
