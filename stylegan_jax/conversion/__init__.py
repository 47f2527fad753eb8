"""Networks from one form of file to another, each checked after it was written: `convert`, and `describe` of a file."""

from stylegan_jax.conversion.converting import Converted, convert
from stylegan_jax.conversion.describing import describe

__all__ = ['Converted', 'convert', 'describe']
