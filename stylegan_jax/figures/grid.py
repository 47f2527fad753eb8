"""Images as uint8, as one grid, and as PNG files that appear whole or not at all."""
import contextlib
import os

import numpy as np
import PIL.Image


def to_uint8(images):
    """Converts [-1, 1] to 0..255 as the official code does for metrics: x * 127.5 + 128, truncated.

    Args:
      images: floats [..., H, W, C]; values outside [-1, 1] are clipped.

    Returns:
      uint8 [..., H, W, C].
    """
    return np.clip(np.asarray(images, np.float32) * 127.5 + 128, 0, 255).astype(np.uint8)


def image_grid(images, columns):
    """Lays images out row by row.

    Args:
      images: uint8 [N, H, W, C].
      columns: images a row; the last row is filled up with black.

    Returns:
      uint8 [rows * H, columns * W, C].
    """
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    grid = np.zeros((rows * columns, height, width, channels), np.uint8)
    grid[:count] = images
    grid = grid.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * height, columns * width, channels)


def save_png(path, image):
    """Writes a PNG of uint8 [H, W, C] with 1 (grey), 3 (RGB) or 4 (RGBA) channels.

    More or other channels have no PNG; of those the first is written as grey.
    """
    if image.shape[-1] not in (3, 4):
        image = image[..., 0]
    temporary = f'{path}.part'
    try:
        PIL.Image.fromarray(image).save(temporary, format='PNG')
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def enlarge(image, factor):
    """Repeats every pixel of [..., H, W, C]."""
    return np.repeat(np.repeat(image, factor, axis=-3), factor, axis=-2)
