"""The two training steps as pure functions.

A D step and then a G step make an iteration (`train_iteration`). Each takes a TrainState and returns the next one. The
gradients are computed in `gradients`, and `parallel` compiles iterations and divides them among devices.
"""

import jax
import jax.numpy as jnp
import optax

from stylegan_jax.config import Config
from stylegan_jax.data.batch import Batch
from stylegan_jax.networks import ops
from stylegan_jax.training.augmenting import adapted
from stylegan_jax.training.averaging import average_generator, average_w
from stylegan_jax.training.draws import StepDraws, draw_discriminator_step, draw_generator_step
from stylegan_jax.training.freezing import joined_moments, split_frozen, split_frozen_moments
from stylegan_jax.training.gradients import discriminator_gradients, generator_gradients
from stylegan_jax.training.loss_scale import next_loss_scale
from stylegan_jax.training.optimizer import adam_update
from stylegan_jax.training.separation import train_probe
from stylegan_jax.training.sharing import Share, global_batch
from stylegan_jax.training.state import TrainState


def discriminator_step(
    config: Config,
    state: TrainState,
    reals: jax.Array,
    label: jax.Array,
    draws: StepDraws,
    *,
    stage: int,
    lr: jax.typing.ArrayLike,
    share: Share | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Trains the discriminator by one batch, and moves the averages and the clock that an iteration moves once.

    Args:
      config: a Config.
      state: a TrainState.
      reals: [N, H, W, C] at the size of the stage, uint8 or floats in [-1, 1].
      label: [N, K] of the real images; the generated ones take the same.
      draws: the random inputs of the step, for N images.
      stage: the active stage (static).
      lr: learning rate (may be traced).
      share: the part of the step that this device does, which has N images; None for all of it.

    Returns:
      state: the next one, whose `cur_nimg` has grown by the images of all devices.
      metrics: dict of scalars.
    """
    gradients, w_mean, metrics = discriminator_gradients(config, state, reals, label, draws, stage=stage, share=share)
    params, frozen_params = split_frozen(config, state.d_params)
    moments, frozen_moments = split_frozen_moments(config, state.d_optimizer)
    params, moments, skipped, log2_scale, health = _apply_gradients(
        config, gradients, moments, params, state.d_skipped, state.d_loss_scale, lr
    )
    state = state.replace(
        d_params=params | frozen_params,
        d_optimizer=joined_moments(moments, frozen_moments),
        d_skipped=skipped,
        d_loss_scale=log2_scale,
    )
    # The official loop averages the generator together with the discriminator's step, before the generator's own. The
    # averaged generator has the average w of the same moment, which is the one before this step.
    batch = global_batch(config, share, reals)
    state = state.replace(
        g_ema=average_generator(config, state.g_ema, state.g_params, batch),
        ema_w_avg=jnp.array(state.w_avg, copy=True),  # a buffer of its own, see `create_state`
        w_avg=average_w(config, state.w_avg, w_mean),
        cur_nimg=state.cur_nimg + batch,
    )
    state, metrics = adapted(config, state, metrics, batch)
    return state, metrics | {f'd_{name}': value for name, value in health.items()}


def generator_step(
    config: Config,
    state: TrainState,
    label: jax.Array,
    draws: StepDraws,
    *,
    stage: int,
    lr: jax.typing.ArrayLike,
    share: Share | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Trains the generator by one batch.

    Args:
      config: a Config.
      state: a TrainState.
      label: [N, K] for the generated images.
      draws: the random inputs of the step, for N images.
      stage: the active stage (static).
      lr: learning rate (may be traced).
      share: the part of the step that this device does, which has N images; None for all of it.

    Returns:
      state: the next one.
      metrics: dict of scalars.
    """
    result = generator_gradients(config, state, label, draws, stage=stage, share=share)
    g_params, g_optimizer, skipped, log2_scale, health = _apply_gradients(
        config, result.g_params, state.g_optimizer, state.g_params, state.g_skipped, state.g_loss_scale, lr
    )
    finite = health['skipped'] == 0
    if state.probe is not None:
        state = state.replace(probe=train_probe(config, state.probe, result.probe, lr, finite))
    if state.path_length_means is not None:
        means = jnp.where(finite, result.path_length_means, state.path_length_means)
        state = state.replace(path_length_means=means)
    state = state.replace(
        g_params=g_params,
        g_optimizer=g_optimizer,
        g_skipped=skipped,
        g_loss_scale=log2_scale,
        w_avg=average_w(config, state.w_avg, result.w_mean),  # in both steps, as in the official code
    )
    return state, result.metrics | {f'g_{name}': value for name, value in health.items()}


def train_iteration(
    config: Config,
    state: TrainState,
    batch: Batch,
    lr: jax.typing.ArrayLike,
    *,
    stage: int,
    fades: bool = True,
    share: Share | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Takes a D step and then a G step, each with random draws of its own.

    Args:
      config: a Config.
      state: a TrainState.
      batch: `images` [N, H, W, C], their `labels` [N, K], and `g_labels` [N, K] for the generator's step.
      lr: learning rate (may be traced).
      stage: the active stage (static).
      fades: whether the stage may be fading in (static). If it is not, `state.alpha` has to be 1, and what a fade
        computes at the stage below is left out.
      share: the part of the iteration that this device does, which has N images; None for all of it.

    Returns:
      (state, metrics): the next state, and a dict of scalars.
    """
    share = share or Share(config.replicas)
    size, options = batch.images.shape[0], {'stage': stage, 'replicas': share.numbers(), 'dtype': state.w_avg.dtype}
    alpha = state.alpha
    state = state if fades else state.replace(alpha=None)
    draws = draw_discriminator_step(config, state.key, state.cur_nimg, size, **options)
    state, d_metrics = discriminator_step(
        config, state, batch.images, batch.labels, draws, stage=stage, lr=lr, share=share
    )
    # The barrier orders the two steps: XLA could compute them side by side, and would then need the memory of both.
    # Whatever the G step draws, and the discriminator that it trains against, waits for the D step. The generator's
    # weights do not wait: both steps convert them to the same layout and type, which XLA then does only once.
    waiting = {name: getattr(state, name) for name in ('d_params', 'w_avg', 'key', 'cur_nimg')}
    state = state.replace(**jax.lax.optimization_barrier(waiting))
    draws = draw_generator_step(config, state.key, state.cur_nimg, size, **options)
    state, g_metrics = generator_step(config, state, batch.g_labels, draws, stage=stage, lr=lr, share=share)
    return state.replace(alpha=alpha), d_metrics | g_metrics


def _apply_gradients(
    config: Config,
    gradients: optax.Params,
    optimizer: optax.ScaleByAdamState,
    params: optax.Params,
    skipped: jax.Array,
    log2_scale: jax.Array,
    lr: jax.typing.ArrayLike,
):
    """Takes an Adam step, unless the gradients' norm is not finite: then weights and moments stay as they are.

    Returns:
      (params, optimizer, steps skipped in a row, log2 of the loss's scale in the next step, metrics).
    """
    train = config.train
    # Pins the gradients to the row-major layout that the weights have. XLA prefers another one for convolutions, and if
    # its transpose were fused into the update below, Adam could not update weights and moments in place.
    gradients = jax.tree.map(ops.row_major, gradients)
    norm = jnp.sqrt(ops.sum_of_squares(jax.tree.leaves(gradients)))
    finite = jnp.isfinite(norm)
    updated = adam_update(
        gradients, optimizer, params, lr=lr, beta1=train.beta1, beta2=train.beta2, epsilon=train.epsilon
    )
    # A select fuses with the update, which a branch would not.
    params, optimizer = jax.tree.map(lambda new, old: jnp.where(finite, new, old), updated, (params, optimizer))
    skipped = jnp.where(finite, 0, skipped + 1)
    return (
        params,
        optimizer,
        skipped,
        next_loss_scale(config, log2_scale, finite),
        {'gradient_norm': norm, 'skipped': 1 - finite.astype(jnp.int32), 'skipped_in_a_row': skipped},
    )
