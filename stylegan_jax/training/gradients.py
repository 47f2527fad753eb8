"""The gradients of the two losses, each averaged over all replicas of a step.

These functions only read the state; `steps` applies the gradients. The arguments are described once, at
`steps.discriminator_step` and `steps.generator_step`.
"""

import functools
import typing
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from stylegan_jax.config import Config
from stylegan_jax.networks.discriminator import discriminate
from stylegan_jax.networks.generator import broadcast_w, map_latents, synthesize_images
from stylegan_jax.runtime.platforms import activation_dtype, matmul_precision
from stylegan_jax.training.augmenting import augmenter, signs
from stylegan_jax.training.draws import StepDraws
from stylegan_jax.training.freezing import split_frozen
from stylegan_jax.training.loss_scale import loss_scale
from stylegan_jax.training.losses import discriminator_loss, generator_loss
from stylegan_jax.training.mixing import mix_styles
from stylegan_jax.training.path_length import path_length_penalty, path_lengths
from stylegan_jax.training.reals import prepare_reals
from stylegan_jax.training.separation import separation_loss
from stylegan_jax.training.sharing import Share, global_batch, mean_over_replicas
from stylegan_jax.training.state import TrainState


def discriminator_gradients(
    config: Config,
    state: TrainState,
    reals: jax.Array,
    label: jax.Array,
    draws: StepDraws,
    *,
    stage: int,
    share: Share | None = None,
) -> tuple[optax.Params, jax.Array, dict[str, jax.Array]]:
    """Differentiates the discriminator's loss; see `steps.discriminator_step` for the arguments.

    Returns:
      (gradients of the blocks that are not frozen, mean w of the generated images [W], dict of metrics), means over all
      replicas.
    """
    share, scale = share or Share(config.replicas), loss_scale(config, state.d_loss_scale)
    trained, frozen = split_frozen(config, state.d_params)

    def gradients_of(reals, label, draws, *, lazy_factor):
        dtype, fourth_channel = state.w_avg.dtype, config.data.fourth_channel
        reals = prepare_reals(reals, draws.mirror, state.alpha, stage=stage, dtype=dtype, fourth_channel=fourth_channel)
        fakes, w = generate(config, state.g_params, label, draws, stage, state.alpha)
        # The barrier makes XLA store the generated images. Otherwise it fuses their fade into the discriminator's
        # first layer, which reads the colour channels one by one, and recomputes it for each of them.
        fakes = jax.lax.optimization_barrier(fakes)

        def loss_fn(trained):
            loss, metrics = discriminator_loss(
                config.loss,
                discriminator_of(config, trained | frozen, label, stage, state.alpha, share),
                reals,
                fakes,
                shrink=2 ** (config.image.num_stages - 1 - stage),
                gp_factors=draws.gp_factors,
                augment=augmenter(config, state, draws.augment),
                lazy_factor=lazy_factor,
                scale=scale,
            )
            return jnp.mean(loss), metrics | signs(config, metrics['real_logits'])

        loss, metrics, gradients = _differentiate(loss_fn, trained, scale)
        return gradients, jnp.mean(w, axis=0), {'d_loss': loss} | jax.tree.map(jnp.mean, metrics)

    def means(lazy_factor):
        return mean_over_replicas(functools.partial(gradients_of, lazy_factor=lazy_factor), share, reals, label, draws)

    interval = config.loss.lazy_r1_interval
    with matmul_precision(config.precision):
        if config.loss.name != 'logistic' or interval == 1:
            return means(1.0)
        # Lazy regularization (StyleGAN2, Section 3.2): the penalties are taken in one step of every `interval`, with
        # `interval` times their weight. Both kinds of step are in the program, and the device chooses between them.
        step_number = state.cur_nimg // global_batch(config, share, reals)
        return jax.lax.cond(step_number % interval == 0, lambda: means(float(interval)), lambda: means(None))


class GeneratorGradients(typing.NamedTuple):
    """The result of `generator_gradients`.

    Attributes:
      g_params: gradients of the generator's weights.
      w_mean: mean w of the generated images [W].
      metrics: dict of scalars.
      probe: gradients of the probe's parameters; None without one (see `separation`).
      path_length_means: next running means of path lengths [replicas]; None without them (see `path_length`).
    """

    g_params: optax.Params
    w_mean: jax.Array
    metrics: dict[str, jax.Array]
    probe: optax.Params | None = None
    path_length_means: jax.Array | None = None


def generator_gradients(
    config: Config,
    state: TrainState,
    label: jax.Array,
    draws: StepDraws,
    *,
    stage: int,
    share: Share | None = None,
) -> GeneratorGradients:
    """Differentiates the generator's loss; see `steps.generator_step` for the arguments.

    Returns:
      GeneratorGradients, means over all replicas.
    """
    share = share or Share(config.replicas)
    scale = loss_scale(config, state.g_loss_scale)
    step_number = state.cur_nimg // global_batch(config, share, label)
    probe_params = None if state.probe is None else state.probe.params

    def gradients_of(label, draws, replicas):
        def loss_fn(params):
            g_params, probe_params = params
            fakes, w = _generate(config, g_params, label, draws, stage, state.alpha)
            fakes = jax.lax.optimization_barrier(fakes)  # for the reason given in `discriminator_gradients`
            if augment := augmenter(config, state, draws.augment):
                fakes = augment(fakes, 'fake')
            logits = discriminator_of(config, state.d_params, label, stage, state.alpha, share)(fakes)
            loss, metrics = jnp.mean(generator_loss(config.loss, logits)), {}
            if probe_params is not None:
                separation = separation_loss(probe_params, w, state.w_avg, label)
                loss, metrics = loss + config.loss.separation * separation, {'separation_loss': separation}
            return loss, (jax.lax.stop_gradient(w), metrics)

        loss, (w, metrics), gradients = _differentiate(loss_fn, (state.g_params, probe_params), scale)
        metrics = {
            'g_loss': loss,
            'w_norm': jnp.mean(jnp.linalg.norm(w, axis=-1)),
            'w_spread': jnp.mean(jnp.linalg.norm(w - state.w_avg, axis=-1)),
        } | metrics
        result = GeneratorGradients(gradients[0], jnp.mean(w, axis=0), metrics, gradients[1])
        if not config.loss.path_length:
            return result
        return _with_path_lengths(config, state, result, label, draws.path, replicas, stage, step_number)

    # The numbers of the replicas tell which running means are theirs.
    replicas = share.numbers() if config.loss.path_length else None
    with matmul_precision(config.precision):
        return mean_over_replicas(gradients_of, share, label, draws, replicas)


def _with_path_lengths(config, state, result, label, draws, replicas, stage, step_number):
    """Adds path length regularization to the results of some replicas, in one step of every `path_length_interval`.

    As R1 does where it is lazy, the penalty then has as many times its weight, and so have the metrics, which are 0 in
    the other steps. Both kinds of step are in the program, and the device chooses between them.

    Args:
      config: a Config.
      state: a TrainState.
      result: GeneratorGradients without path lengths.
      label: [N, K] of the images of the step; path lengths take the first ones of each replica.
      draws: those of path length regularization, for n images.
      replicas: numbers of the replicas that the images belong to [R].
      stage: the active stage (static).
      step_number: which of all steps this is.
    """
    interval, scale = config.loss.path_length_interval, loss_scale(config, state.g_loss_scale)
    per_replica, taken = (x.shape[0] // len(replicas) for x in (label, draws.z))
    size = label.shape[1]
    label = label.reshape(len(replicas), per_replica, size)[:, :taken].reshape(len(replicas) * taken, size)
    means = state.path_length_means[replicas]

    def loss_fn(g_params):
        _, ws = _map_and_mix(config, g_params, label, draws)
        synthesize = functools.partial(_synthesize, config, g_params, draws=draws, stage=stage, alpha=state.alpha)
        lengths = path_lengths(synthesize, ws, draws.directions, scale)
        penalties, next_means = path_length_penalty(config.loss, lengths, means)
        metrics = {'path_length': jnp.mean(lengths) * interval, 'path_length_penalty': jnp.mean(penalties) * interval}
        loss = metrics['path_length_penalty'] * config.loss.path_length
        return loss, (jax.lax.stop_gradient(next_means), metrics)

    def penalised(g_params):
        # The other gradients come in as an argument, so that XLA does not keep the activations of both at a time.
        _, (next_means, metrics), gradients = _differentiate(loss_fn, state.g_params, scale)
        return jax.tree.map(jnp.add, g_params, gradients), next_means, metrics

    def plain(g_params):
        zero = jnp.zeros((), means.dtype)
        return g_params, means, {'path_length': zero, 'path_length_penalty': zero}

    if interval == 1:
        g_params, means, metrics = penalised(result.g_params)
    else:
        g_params, means, metrics = jax.lax.cond(step_number % interval == 0, penalised, plain, result.g_params)
    # Each replica fills its own place, so that the mean over all of them, times their number, holds all.
    parts = config.replicas // len(replicas)
    means = jnp.zeros_like(state.path_length_means).at[replicas].set(means) * parts
    return result._replace(g_params=g_params, metrics=result.metrics | metrics, path_length_means=means)


def generate(
    config: Config,
    g_params: optax.Params,
    label: jax.Array,
    draws: StepDraws,
    stage: int,
    alpha: jax.typing.ArrayLike | None,
) -> tuple[jax.Array, jax.Array]:
    """Generates the images of a training step, with mixing regularization if the draws ask for it.

    Args:
      config: a Config.
      g_params: the generator's weights.
      label: [N, K].
      draws: the latents, the crossover and the noise of the step.
      stage: the active stage (static).
      alpha: weight of the stage against the one below it (may be traced); None for a stage that is not faded.

    Returns:
      images: [N, H, W, C] at the size of the stage.
      w: intermediate latents of the first latents [N, W], without a gradient, because only averages are made of them.
    """
    images, w = _generate(config, g_params, label, draws, stage, alpha)
    return images, jax.lax.stop_gradient(w)


def _generate(config, g_params, label, draws, stage, alpha):
    """Generates like `generate`, and returns w with its gradient."""
    w, ws = _map_and_mix(config, g_params, label, draws)
    return _synthesize(config, g_params, ws, draws=draws, stage=stage, alpha=alpha), w


def _map_and_mix(config, g_params, label, draws):
    """Returns w of the first latents [N, W], and ws after mixing regularization [N, L, W]."""
    generator = config.generator
    w = map_latents(generator, g_params, draws.z, label)
    ws = broadcast_w(generator, w)
    if draws.z_mix is not None:
        # The second latents have the same labels, as in the official code.
        ws_mix = broadcast_w(generator, map_latents(generator, g_params, draws.z_mix, label))
        ws = mix_styles(ws, ws_mix, draws.crossover)
    return w, ws


def _synthesize(config, g_params, ws, *, draws, stage, alpha):
    dtype = activation_dtype(config.precision)
    return synthesize_images(config.generator, g_params, ws, draws.noise, stage=stage, alpha=alpha, dtype=dtype)


def discriminator_of(
    config: Config,
    d_params: optax.Params,
    label: jax.Array,
    stage: int,
    alpha: jax.typing.ArrayLike | None,
    share: Share,
) -> Callable[[jax.Array], jax.Array]:
    """Returns the discriminator as a function of images alone, images [N, H, W, C] -> logits [N], as losses take it.

    Args:
      config: a Config.
      d_params: the discriminator's weights.
      label: of the images that it will score [N, K].
      stage: the active stage (static).
      alpha: weight of the stage against the one below it (may be traced); None for a stage that is not faded.
      share: says how many replicas the N images belong to; minibatch statistics are formed within each.
    """

    def logits_of(images):
        return discriminate(
            config.discriminator,
            d_params,
            images,
            label,
            stage=stage,
            alpha=alpha,
            replicas=share.replicas_per_part,
            dtype=activation_dtype(config.precision),
        )

    return logits_of


def _differentiate(loss_fn, params, scale):
    """Differentiates a loss that is multiplied by `scale` (see `loss_scale`) in the meantime.

    Args:
      loss_fn: params -> (scalar loss, rest), where the rest is any pytree.
      params: pytree.
      scale: the factor.

    Returns:
      (loss, rest, gradients), all unscaled.
    """

    def scaled(params):
        loss, rest = loss_fn(params)
        return loss * scale, (loss, rest)

    gradients, (loss, rest) = jax.grad(scaled, has_aux=True)(params)
    return loss, rest, jax.tree.map(lambda g: g / scale, gradients)
