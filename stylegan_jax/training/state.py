"""Everything that training carries from step to step, as one pytree."""

import typing

import flax.struct
import jax
import jax.numpy as jnp

from stylegan_jax.config.schedule import needs_optimizer_reset
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.training.optimizer import adam_init

# The official code begins at 64 and comes down, skipping a step each; float16 overflows beyond 16.
_FIRST_LOSS_SCALE = 16.0


@flax.struct.dataclass
class TrainState:
    """The state of a run; what is not here follows from the config and `cur_nimg`.

    Attributes:
      g_params, d_params: weights being trained.
      g_ema: averaged generator weights.
      w_avg: average w of the generator being trained [W].
      ema_w_avg: average w that goes with `g_ema` [W].
      noise: the stored noise inputs, shared by both generators.
      g_optimizer, d_optimizer: Adam's states; without first moments where `train.beta1` is 0.
      cur_nimg: real images shown so far.
      group_nimg: `cur_nimg` when the schedule was last looked at.
      lod: level of detail then (0 = full size).
      alpha: weight of the newest block then.
      key: the run's random key.
      g_skipped, d_skipped: steps in a row until now whose gradients were not finite.
      g_loss_scale, d_loss_scale: log2 of the factor of the losses (used in float16).
    """

    g_params: typing.Any
    d_params: typing.Any
    g_ema: typing.Any
    w_avg: jax.Array
    ema_w_avg: jax.Array
    noise: tuple
    g_optimizer: typing.Any
    d_optimizer: typing.Any
    cur_nimg: jax.Array
    group_nimg: jax.Array
    lod: jax.Array
    alpha: jax.Array
    key: jax.Array
    g_skipped: jax.Array
    d_skipped: jax.Array
    g_loss_scale: jax.Array
    d_loss_scale: jax.Array


def create_state(config, *, generator=None, discriminator=None, ema=None, lod=0.0):
    """Makes the state before the first step.

    Args:
      config: a Config; the seed is its own.
      generator, discriminator: networks to start from; None for fresh ones.
      ema: averaged generator to start from; None for a copy of `generator`.
      lod: level of detail to start at.
    """
    g_key, d_key, _ = _keys(config)
    generator = Generator.init(g_key, config.generator) if generator is None else generator
    discriminator = Discriminator.init(d_key, config.discriminator) if discriminator is None else discriminator
    ema = generator if ema is None else ema
    dtype = jnp.float64 if config.precision == 'float64' else jnp.float32
    # Every leaf is a buffer of its own: the compiled steps give the state's buffers away.
    generator, discriminator, ema = jax.tree.map(
        lambda x: jnp.array(x, dtype, copy=True), (generator, discriminator, ema)
    )
    return TrainState(
        g_params=generator.params,
        d_params=discriminator.params,
        g_ema=ema.params,
        w_avg=generator.w_avg,
        ema_w_avg=ema.w_avg,
        noise=generator.noise,
        g_optimizer=adam_init(generator.params, config.train.beta1),
        d_optimizer=adam_init(discriminator.params, config.train.beta1),
        cur_nimg=jnp.zeros((), jnp.int32),
        group_nimg=jnp.zeros((), jnp.int32),
        lod=jnp.asarray(lod, jnp.float32),
        alpha=jnp.asarray(1 - lod % 1, dtype),
        key=run_key(config),
        g_skipped=jnp.zeros((), jnp.int32),
        d_skipped=jnp.zeros((), jnp.int32),
        g_loss_scale=jnp.full((), _FIRST_LOSS_SCALE, jnp.float32),
        d_loss_scale=jnp.full((), _FIRST_LOSS_SCALE, jnp.float32),
    )


def run_key(config):
    """Returns the key that everything random after initialisation is derived from, by purpose."""
    return _keys(config)[2]


def _keys(config):
    return jax.random.split(jax.random.key(config.seed), 3)


def enter_setting(config, state, setting, previous_lod=None):
    """Begins a group of steps under what the schedule says.

    Both optimisers forget their moments when a fade begins or ends.

    Args:
      config: a Config.
      state: a TrainState.
      setting: a `schedule.Setting`.
      previous_lod: level of detail until now, if the host knows it; None asks the state, and so waits for the device.

    Returns:
      TrainState.
    """
    previous_lod = float(state.lod) if previous_lod is None else previous_lod
    if config.schedule.reset_optimizer and needs_optimizer_reset(previous_lod, setting.lod):
        state = state.replace(
            g_optimizer=adam_init(state.g_params, config.train.beta1),
            d_optimizer=adam_init(state.d_params, config.train.beta1),
        )
    return state.replace(
        lod=jnp.asarray(setting.lod, jnp.float32),
        alpha=jnp.asarray(setting.alpha, state.alpha.dtype),
        group_nimg=jnp.array(state.cur_nimg, copy=True),
    )


def network(config, state, which='ema'):
    """Returns a network out of a state: 'ema' or 'G' as a Generator, 'D' as a Discriminator."""
    if which == 'D':
        return Discriminator(config.discriminator, state.d_params)
    params, w_avg = (state.g_ema, state.ema_w_avg) if which == 'ema' else (state.g_params, state.w_avg)
    return Generator(config.generator, params, w_avg, state.noise)
