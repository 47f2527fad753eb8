"""Everything that training carries from step to step, as one pytree."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from stylegan_jax.augmentation.controller import Augmentation, first_augmentation
from stylegan_jax.config import Config
from stylegan_jax.config.schedule import Setting, needs_optimizer_reset
from stylegan_jax.errors import UserError
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.training.loss_scale import FIRST_LOSS_SCALE
from stylegan_jax.training.optimizer import adam_init
from stylegan_jax.training.separation import Probe, create_probe


@flax.struct.dataclass
class TrainState:
    """The state of a run. Everything else follows from the config and from `cur_nimg`.

    Attributes:
      g_params: the generator's weights, which are trained.
      d_params: the discriminator's weights, which are trained.
      g_ema: averaged weights of the generator, see `averaging.average_generator`.
      w_avg: average w of the generator that is trained, see `averaging.average_w` [W].
      ema_w_avg: average w that belongs to `g_ema` [W].
      noise: the stored noise inputs, which both generators share, one [1, h, w, 1] for each layer.
      g_optimizer: Adam's state for the generator; without first moments where `train.beta1` is 0.
      d_optimizer: the same for the discriminator.
      cur_nimg: real images shown so far.
      group_nimg: value of `cur_nimg` when the schedule was last evaluated.
      lod: level of detail since then (0 is full size).
      alpha: weight of the newest block since then; None inside of an iteration without the fade.
      key: the run's random key.
      g_skipped: number of the generator's last steps in a row whose gradients were not finite.
      d_skipped: the same of the discriminator.
      g_loss_scale: logarithm to base 2 of the factor of the generator's loss, see `loss_scale` (used in float16 only).
      d_loss_scale: the same of the discriminator.
      path_length_means: running mean of path lengths of each replica, see `path_length` [replicas]; None if it is off.
      probe: see `separation`; None if it is off.
      augmentation: the controller of adaptive augmentation, see `augmentation.controller`; None if it is off.
    """

    g_params: optax.Params
    d_params: optax.Params
    g_ema: optax.Params
    w_avg: jax.Array
    ema_w_avg: jax.Array
    noise: tuple[jax.Array, ...]
    g_optimizer: optax.ScaleByAdamState
    d_optimizer: optax.ScaleByAdamState
    cur_nimg: jax.Array
    group_nimg: jax.Array
    lod: jax.Array
    alpha: jax.Array | None
    key: jax.Array
    g_skipped: jax.Array
    d_skipped: jax.Array
    g_loss_scale: jax.Array
    d_loss_scale: jax.Array
    path_length_means: jax.Array | None = None
    probe: Probe | None = None
    augmentation: Augmentation | None = None


def create_state(
    config: Config,
    *,
    generator: Generator | None = None,
    discriminator: Discriminator | None = None,
    ema: Generator | None = None,
    lod: float = 0.0,
) -> TrainState:
    """Makes the state before the first step.

    Args:
      config: a Config, whose seed determines fresh networks and the run's key.
      generator: to start from; None for a fresh one.
      discriminator: to start from; None for a fresh one.
      ema: averaged generator to start from; None for a copy of `generator`.
      lod: level of detail to start at.

    Returns:
      TrainState, on the default device.
    """
    g_key, d_key, _ = _keys(config)
    generator = Generator.init(g_key, config.generator) if generator is None else generator
    discriminator = Discriminator.init(d_key, config.discriminator) if discriminator is None else discriminator
    ema = generator if ema is None else ema
    dtype = jnp.float64 if config.precision == 'float64' else jnp.float32
    # Every leaf must be a buffer of its own. The compiled iteration takes over the buffers of the state that it is
    # given (donation), and no buffer can be donated twice.
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
        g_loss_scale=jnp.full((), FIRST_LOSS_SCALE, jnp.float32),
        d_loss_scale=jnp.full((), FIRST_LOSS_SCALE, jnp.float32),
        path_length_means=jnp.zeros(config.replicas, dtype) if config.loss.path_length else None,
        probe=_fresh_probe(config, dtype),
        augmentation=first_augmentation() if config.augment.mode == 'ada' else None,
    )


def _fresh_probe(config, dtype):
    if not config.loss.separation:
        return None
    if not config.image.label_dim:
        raise UserError(
            'the images have no labels (image.label_dim=0)',
            field='loss.separation',
            value=config.loss.separation,
            remedy='give 0',
        )
    return create_probe(config, dtype)


def with_options(config: Config, state: TrainState) -> TrainState:
    """Returns a state, which was saved under other options, with the parts that the config's options need.

    Args:
      config: a Config.
      state: a TrainState of the same networks.

    Returns:
      The TrainState; a part that is new in it starts as in `create_state`.
    """
    means, probe, augmentation = state.path_length_means, state.probe, state.augmentation
    if not config.loss.path_length:
        means = None
    elif means is None or len(means) != config.replicas:
        means = np.full(config.replicas, 0 if means is None else np.mean(means), state.w_avg.dtype)
    if not config.loss.separation:
        probe = None
    elif probe is None:
        probe = _fresh_probe(config, state.w_avg.dtype)
    if config.augment.mode != 'ada':
        augmentation = None
    elif augmentation is None:
        augmentation = first_augmentation()
    parts = {'path_length_means': means, 'probe': probe, 'augmentation': augmentation}
    if all(part is getattr(state, name) for name, part in parts.items()):
        return state
    return state.replace(**parts)


def run_key(config: Config) -> jax.Array:
    """Returns the typed key from which everything random after initialisation is derived, by purpose (see `draws`)."""
    return _keys(config)[2]


def _keys(config):
    """Returns the keys of the generator's weights, of the discriminator's weights, and of the run."""
    return jax.random.split(jax.random.key(config.seed), 3)


def enter_setting(config: Config, state: TrainState, setting: Setting, previous_lod: float | None = None) -> TrainState:
    """Begins a group of steps under a setting of the schedule.

    Both optimisers forget their moments when a fade begins or ends, as in the official code: the graph changes there.

    Args:
      config: a Config.
      state: a TrainState.
      setting: the schedule's setting of the group.
      previous_lod: level of detail until now, if the host knows it; None reads it from the state, which waits for the
        device.

    Returns:
      The TrainState at the beginning of the group.
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
        group_nimg=jnp.array(state.cur_nimg, copy=True),  # not the same buffer, see `create_state`
    )


def network(config: Config, state: TrainState, which: str = 'ema') -> Generator | Discriminator:
    """Returns one of the three networks of a state.

    Args:
      config: a Config.
      state: a TrainState.
      which: 'ema' for the averaged generator, 'G' for the one that is trained, or 'D' for the discriminator.
    """
    if which == 'D':
        return Discriminator(config.discriminator, state.d_params)
    params, w_avg = (state.g_ema, state.ema_w_avg) if which == 'ema' else (state.g_params, state.w_avg)
    return Generator(config.generator, params, w_avg, state.noise)
