"""What an iteration of each stage costs a device: operations, and an estimate of its memory. No arrays are made.

The estimate: weights, averages and moments; gradients; the random draws of all images of a device; and for each image
that is computed at once, the outputs of all layers times a factor. The factor was fitted to XLA's own plan for an H100
(temporary memory in bfloat16, batch 4, full-width networks, compiled 2026-11-22): 0.70 GB at 256x256 and 2.7 GB at
1024x1024. It was not checked against longer activations.
"""
import dataclasses
import os
import typing

import jax
import jax.numpy as jnp

from stylegan_jax import training
from stylegan_jax.config import num_fmaps
from stylegan_jax.errors import UserError
from stylegan_jax.flops import model_flops
from stylegan_jax.platforms import activation_dtype
from stylegan_jax.schedule import stage_table
from stylegan_jax.training.randomness import draw_discriminator_step
from stylegan_jax.training.sharing import Share

_COPIES = 2.34                  # bytes at the peak of an iteration, over bytes of all outputs of layers
_LONG_UP_TO = 16                # pixels; the generator's smaller layers are never shorter than float32


class _Batch(typing.NamedTuple):
    images: typing.Any
    labels: typing.Any
    g_labels: typing.Any


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a stage needs.

    Attributes:
      resolution: (H, W).
      batch: images of a step over all devices.
      images: of a step on each device.
      accumulate: parts that these are computed in.
      replicas: on each device.
      flops_per_image: operations of an iteration.
      fixed_bytes: weights, averages, moments and gradients.
      held_bytes: draws for all images.
      bytes_per_image: of one that is computed at once.
    """
    resolution: tuple[int, int]
    batch: int
    images: int
    accumulate: int
    replicas: int
    flops_per_image: float
    fixed_bytes: int
    held_bytes: int
    bytes_per_image: float

    @property
    def activation_bytes(self):
        return self.held_bytes + self.images / self.accumulate * self.bytes_per_image

    @property
    def total_bytes(self):
        return self.fixed_bytes + self.activation_bytes

    def verdict(self, memory):
        """Returns whether so many bytes hold it, as text: 'yes', or what would make it fit."""
        if self.total_bytes <= memory:
            return 'yes'
        for parts in range(self.accumulate + 1, self.replicas + 1):
            if self.replicas % parts == 0 and dataclasses.replace(self, accumulate=parts).total_bytes <= memory:
                return f'with parallel.accumulate={parts}'
        return 'no, with no parallel.accumulate'


def plans(config):
    """Returns a Plan for each stage and batch of a run.

    Args:
      config: a resolved Config.

    Raises:
      UserError: devices do not divide the replicas, or `parallel.accumulate` not those of a device.
    """
    count, parts = config.parallel.devices or len(jax.devices()), config.parallel.accumulate
    if config.replicas % (count * parts):
        raise UserError(f'{count} devices with parallel.accumulate={parts} cannot share replicas={config.replicas} '
                        f'equally; set --config.replicas to a multiple of {count * parts}, or fewer of the others')
    spans = {(span.resolution, span.batch): None for span in stage_table(config)}
    stages = {config.image.stage_shape(stage): stage for stage in range(config.image.num_stages)}
    state = jax.eval_shape(lambda: training.create_state(config))
    return [_plan(config, state, stages[tuple(resolution)], batch, count) for resolution, batch in spans]


def _plan(config, state, stage, batch, count):
    images, share = batch // count, batch // config.replicas
    draws = jax.eval_shape(lambda key: draw_discriminator_step(
        config, key, 0, share, stage=stage, replicas=jnp.zeros(1, jnp.int32)), state.key)
    networks = state.g_params, state.d_params, state.g_ema, state.g_optimizer, state.d_optimizer
    # Gradients of one network at a time.
    fixed = _bytes(networks) + max(_bytes(state.g_params), _bytes(state.d_params))
    return Plan(config.image.stage_shape(stage), batch, images, config.parallel.accumulate, config.replicas // count,
                _flops(config, state, stage, share) / share, fixed, images * _bytes(draws) // share,
                _COPIES * output_bytes(config, stage))


def _flops(config, state, stage, images):
    """Operations of an iteration of one replica."""
    image = config.image
    label = jax.ShapeDtypeStruct((images, image.label_dim), jnp.float32)
    pixels = jax.ShapeDtypeStruct((images, *image.stage_shape(stage), image.channels), jnp.uint8)
    return model_flops(lambda state, batch: training.iterate(config, state, batch, 0.001, stage=stage, share=Share(1)),
                       state, _Batch(pixels, label, label))


def output_bytes(config, stage):
    """Returns the bytes of what all layers of both networks give for one image at a stage."""
    short, total = jnp.dtype(activation_dtype(config.precision)).itemsize, 0
    for s in range(stage + 1):
        height, width = config.image.stage_shape(s)
        long = max(short, 4) if config.image.stage_resolution(s) <= _LONG_UP_TO else short
        # Of the generator two layers; of the discriminator one, and what comes from the stage above or from colours.
        total += 2 * height * width * (num_fmaps(config.generator, s + 1) * long
                                       + num_fmaps(config.discriminator, s + 1) * short)
    return total


def _bytes(tree):
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def device_memory():
    """Returns (bytes of one device at hand, where that is known from)."""
    device = jax.devices()[0]
    limit = (device.memory_stats() or {}).get('bytes_limit')
    if limit:
        return limit, device.device_kind
    if device.platform != 'cpu':
        raise UserError(f'{device.device_kind} does not say how much memory it has')
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'), 'memory of this machine, shared by its devices'
