"""What the sampler, the painter and evaluation share: batches of one size, the noise of each image, and pixels.

The programs themselves are `runtime.on_devices.Program`s, which run on all devices.
"""

import collections
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.config import GeneratorConfig
from stylegan_jax.networks.generator import draw_noise
from stylegan_jax.runtime.on_devices import Program
from stylegan_jax.runtime.platforms import activation_dtype, best_precision

# Those of `config.PRECISIONS` without float64, which weights of double precision ask for by themselves.
PRECISIONS = 'auto', 'float32', 'tf32', 'bfloat16', 'float16'
# Pixels and images that a device gets at a time if nobody says: two images of 1024x1024 on a processor, 16 elsewhere.
_CPU_BATCH, _ACCELERATOR_BATCH = (2**21, 16), (2**24, 128)

_programs: dict[Any, Program] = {}


def kept_program(
    function: Callable[..., Any], devices: tuple[jax.Device, ...], precision: str, **static: Any
) -> Program:
    """Returns the program of a function, always the same one, so that nothing is compiled twice in a process.

    Args:
      function: see `Program`; a function of a module, since it is a part of the key.
      devices: devices of this process.
      precision: of products, see `runtime.platforms.matmul_precision`.
      **static: more arguments of the function, by name; another value means another program.
    """
    key = function, devices, precision, tuple(sorted(static.items()))
    # setdefault is atomic, unlike functools.cache: threads that ask at the same time get one program, and compile once.
    return _programs.setdefault(key, Program(functools.partial(function, **static), devices, precision))


def chosen_precision(precision: str, device: jax.Device) -> str:
    """Returns the name that 'auto' means on a device, and other names as they are."""
    return best_precision(device) if precision == 'auto' else precision


def synthesis_dtype(precision: str) -> jnp.dtype | None:
    """Returns the type of activations for `synthesize_images`; None for that of the weights."""
    return None if precision == 'float32' else activation_dtype(precision)


def fitting_batch(shape: Sequence[int], devices: Sequence[jax.Device], count: int | None = None) -> int:
    """Returns how many images suit some devices at a time.

    Args:
      shape: (H, W, C) of an image.
      devices: those that share a batch.
      count: how many images there will be in all, if that is known: batches are then no larger, and even.
    """
    pixels, most = _CPU_BATCH if devices[0].platform == 'cpu' else _ACCELERATOR_BATCH
    batch = min(most, max(1, pixels // (shape[0] * shape[1]))) * len(devices)
    return batch if count is None else -(-count // -(-count // batch))


def rows_of_batch(start: int, batch: int, count: int) -> np.ndarray:
    """Returns the numbers of a batch's images, [batch]; those beyond the last of `count` images repeat it.

    All batches have one size, because another one would have to be compiled for.
    """
    return np.minimum(np.arange(start, start + batch), count - 1)


def fetched(batches: Iterable[tuple[jax.Array, int]]) -> Iterator[np.ndarray]:
    """Fetches batches while the devices work on the next one.

    Args:
      batches: pairs of images [N, ...] that devices are working on, and of how many of them are wanted. Asking for the
        next pair starts its computation.

    Yields:
      The wanted images [n, ...] of each batch, in host memory.
    """
    under_way = collections.deque()  # two at most; a batch that was fetched is not held any longer
    for images, count in batches:
        images.copy_to_host_async()  # the copy starts as soon as the images are computed
        under_way.append((images, count))
        if len(under_way) > 1:
            yield _on_host(*under_way.popleft())
    for images, count in under_way:
        yield _on_host(images, count)


def _on_host(images, count):
    return np.asarray(images)[:count]


def noise_of_keys(
    config: GeneratorConfig, keys: jax.Array, stage: int, dtype: jnp.dtype = jnp.float32
) -> tuple[jax.Array, ...]:
    """Draws noise inputs, those of an image from its own key alone.

    Args:
      config: of the generator.
      keys: typed JAX keys [N].
      stage: the last stage in use.
      dtype: of the noise.

    Returns:
      Noise inputs [N, h, w, 1], one a layer; none for a network that takes none.
    """
    drawn = jax.vmap(lambda key: draw_noise(config, key, 1, stage, dtype))(keys)
    return tuple(layer[:, 0] for layer in drawn)  # drawn has [N, 1, h, w, 1]


def to_uint8_on_device(images: jax.Array) -> jax.Array:
    """Converts [-1, 1] to 0..255 in a compiled function; equal to the bit to `sampling.grid.to_uint8` in NumPy."""
    # Compilers merge a product and the sum after it, which rounds once less. Clipping in between keeps them from it;
    # it changes no value, because the sum moves -128 and 127 to the ends of the range.
    return (jnp.clip(images.astype(jnp.float32) * 127.5, -128, 127) + 128).astype(jnp.uint8)
