"""The page `report.html` in a run's folder: one file that shows the run in any browser, without a network."""

from stylegan_jax.report.page import FILE, write
from stylegan_jax.report.pictures import Pictures

__all__ = ['FILE', 'Pictures', 'write']
