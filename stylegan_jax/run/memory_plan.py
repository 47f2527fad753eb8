"""The cost of an iteration on one device, for each stage: operations, and an estimate of memory. It makes no arrays.

The estimate is the sum of weights, averages and Adam's moments; gradients; the random draws for all images of a device;
and for each image that is computed at the same time, the outputs of all layers times a factor. The factor was fitted to
XLA's own plan for an H100 (temporary memory in bfloat16, batch 4, full-width networks, compiled 2026-11-22): 0.70 GB at
256x256 and 2.7 GB at 1024x1024. It was not checked against float32 activations.
"""

import dataclasses
import math
import os

import jax
import jax.numpy as jnp

from stylegan_jax import training
from stylegan_jax.config import Config
from stylegan_jax.config.network import num_fmaps
from stylegan_jax.config.schedule import stage_table
from stylegan_jax.errors import UserError
from stylegan_jax.networks.synthesis import FLOAT32_UP_TO
from stylegan_jax.runtime.flops import model_flops
from stylegan_jax.runtime.platforms import activation_dtype
from stylegan_jax.training.draws import draw_discriminator_step, draw_generator_step
from stylegan_jax.training.gradients import discriminator_of, generate
from stylegan_jax.training.sharing import Share, share_of

_COPIES = 2.34  # the factor above: bytes at the peak of an iteration, over bytes of the outputs of all layers


@dataclasses.dataclass(frozen=True)
class Plan:
    """The cost of an iteration at one stage.

    Attributes:
      resolution: (H, W).
      batch: images of a step over all devices.
      images: images of a step on each device.
      accumulate: parts in which these are computed, one after another.
      replicas: replicas on each device.
      flops_per_image: operations of an iteration, per image.
      fixed_bytes: weights, averages, moments and gradients.
      held_bytes: random draws for all images.
      bytes_per_image: activations of one of the images that are computed at the same time.
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
    def activation_bytes(self) -> float:
        """Draws and activations."""
        return self.held_bytes + self.images / self.accumulate * self.bytes_per_image

    @property
    def total_bytes(self) -> float:
        """The estimate for one device."""
        return self.fixed_bytes + self.activation_bytes

    def verdict(self, memory: int) -> str:
        """Tells as text whether it fits into `memory` bytes: 'yes', or the setting that makes it fit."""
        if self.total_bytes <= memory:
            return 'yes'
        for parts in range(self.accumulate + 1, self.replicas + 1):
            if self.replicas % parts == 0 and dataclasses.replace(self, accumulate=parts).total_bytes <= memory:
                return f'with parallel.accumulate={parts}'
        return 'no, with no parallel.accumulate'


def plans(config: Config, nimg: int = 0) -> list[Plan]:
    """Returns a Plan for each stage and batch size of a run.

    Args:
      config: a resolved Config.
      nimg: images shown so far; stages that are over are left out.

    Raises:
      UserError: devices do not divide the replicas, or `parallel.accumulate` not those of a device.
    """
    count = config.parallel.devices or len(jax.devices())
    share = share_of(config, count)
    spans = {(span.resolution, span.batch): None for span in stage_table(config, nimg)}
    stages = {config.image.stage_shape(stage): stage for stage in range(config.image.num_stages)}
    state = jax.eval_shape(lambda: training.create_state(config))
    return [_plan(config, state, stages[tuple(resolution)], batch, share) for resolution, batch in spans]


def _plan(config, state, stage, batch, share):
    per_replica = batch // config.replicas
    images = per_replica * share.replicas
    one = jnp.zeros(1, jnp.int32)  # replica
    draws, g_draws = (
        jax.eval_shape(lambda key: draw(config, key, 0, per_replica, stage=stage, replicas=one), state.key)
        for draw in (draw_discriminator_step, draw_generator_step)
    )
    networks = state.g_params, state.d_params, state.g_ema, state.g_optimizer, state.d_optimizer
    # The gradients of the two networks are not in memory at the same time.
    fixed = _bytes(networks) + max(_bytes(state.g_params), _bytes(state.d_params))
    return Plan(
        config.image.stage_shape(stage),
        batch,
        images,
        share.parts,
        share.replicas,
        _flops(config, state, draws, stage, per_replica) / per_replica,
        fixed,
        images * max(map(_bytes, (draws, g_draws))) // per_replica,
        _COPIES * output_bytes(config, stage) + _augmentation_bytes(config, stage),
    )


def _flops(config, state, draws, stage, images):
    """Returns the operations of an iteration of one replica, as a multiple of forward passes.

    A backward pass costs two forward passes: one for the gradient of weights, one for that of activations. So G takes 3
    in its own step and 1 in D's step. D takes 3 for reals and 3 for fakes in its own step, and 2 in G's step, which
    needs no gradient of D's weights. (To trace the derivatives and count would take long.)
    """
    image = config.image
    label = jax.ShapeDtypeStruct((images, image.label_dim), jnp.float32)
    pixels = jax.ShapeDtypeStruct((images, *image.stage_shape(stage), image.channels), jnp.float32)
    generator = model_flops(
        lambda params, label, draws: generate(config, params, label, draws, stage, 0.5), state.g_params, label, draws
    )
    discriminator = model_flops(
        lambda params, label, images: discriminator_of(config, params, label, stage, 0.5, Share(1))(images),
        state.d_params,
        label,
        pixels,
    )
    passes = 4 + _path_length_passes(config.loss, images)
    return passes * generator + (8 + _penalty_passes(config.loss)) * discriminator


def _penalty_passes(loss):
    """Returns the cost of gradient penalties per iteration, in forward passes of D."""
    if loss.name != 'logistic':
        return 6  # WGAN-GP evaluates D on mixed images, which need a forward pass as well.
    return 3 * (bool(loss.r1_gamma) + bool(loss.r2_gamma)) / loss.lazy_r1_interval


def _path_length_passes(loss, images):
    """Returns the cost of path lengths per iteration, in forward passes of G for all images of a replica.

    An image takes a forward pass and the gradient of ws, and twice as many operations for the derivatives of both.
    """
    if not loss.path_length:
        return 0
    return 6 * max(1, images // loss.path_length_batch_shrink) / images / loss.path_length_interval


def output_bytes(config: Config, stage: int) -> int:
    """Returns the bytes of the outputs of all layers of both networks for one image at a stage."""
    short, total = jnp.dtype(activation_dtype(config.precision)).itemsize, 0
    for s in range(stage + 1):
        height, width = config.image.stage_shape(s)
        long = max(short, 4) if config.image.stage_resolution(s) <= FLOAT32_UP_TO else short
        # Of the generator two layers; of the discriminator one, and what comes from the stage above or from colours.
        total += (
            2
            * height
            * width
            * (num_fmaps(config.generator, s + 1) * long + num_fmaps(config.discriminator, s + 1) * short)
        )
    return total


def _augmentation_bytes(config, stage):
    """Returns the bytes of one image on its way through the augmentation of geometry, and of its derivative.

    One period of the reflected image at twice the resolution has 16 times its pixels (`augmentation.resampling`).
    """
    if config.augment.mode not in ('ada', 'fixed'):
        return 0
    return 2 * 16 * math.prod(config.image.stage_shape(stage)) * config.image.channels * 4


def _bytes(tree):
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def device_memory() -> tuple[int, str]:
    """Returns (bytes of memory of one device, the source of this number).

    Raises:
      UserError: the device does not tell.
    """
    device = jax.devices()[0]
    limit = (device.memory_stats() or {}).get('bytes_limit')
    if limit:
        return limit, device.device_kind
    if device.platform != 'cpu':
        raise UserError(f'{device.device_kind} does not say how much memory it has')
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'), 'memory of this machine, shared by its devices'
