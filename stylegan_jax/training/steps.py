"""The two training steps as pure functions.

One D step and then one G step make an iteration; each takes a TrainState and returns the next one. How they are
compiled and shared out over devices is `parallel`'s.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint

from stylegan_jax.networks import ops
from stylegan_jax.networks.discriminator import discriminate
from stylegan_jax.networks.generator import broadcast_w, map_latents, synthesize_images
from stylegan_jax.runtime.platforms import activation_dtype, matmul_precision, resolved
from stylegan_jax.training.draws import draw_discriminator_step, draw_generator_step
from stylegan_jax.training.losses import discriminator_loss, generator_loss
from stylegan_jax.training.optimizer import adam_update
from stylegan_jax.training.sharing import Share, mean_over_replicas

# Of the loss's scale, as log2: after a step with finite gradients, and after one without (the official values).
_SCALE_UP, _SCALE_DOWN = 0.0005, 1.0


def prepare_reals(images, mirror, alpha, *, stage, dtype=jnp.float32):
    """Makes real images what the discriminator sees: scaled, mirrored, and faded as the networks are.

    Args:
      images: [N, H, W, C] at the size of the stage; integers in [0, 255], or floats already in [-1, 1].
      mirror: whether to flip each [N], or None for never.
      alpha: weight of the stage against the one below it.
      stage: the active stage (static).
      dtype: of the result.

    Returns:
      [N, H, W, C] in [-1, 1].
    """
    x = images.astype(dtype)
    if jnp.issubdtype(images.dtype, jnp.integer):
        x = x * (2 / 255) - 1
    if mirror is not None:
        x = jnp.where(mirror[:, None, None, None], x[:, :, ::-1], x)
    return ops.fade(ops.upscale(ops.downscale(x)), x, alpha) if stage else x


def discriminator_gradients(config, state, reals, label, draws, *, stage, share=None):
    """Differentiates the discriminator's loss; see `discriminator_step` for the arguments.

    Returns:
      (gradients, mean w of the generated images [W], dict of metrics), means over all replicas.
    """
    share = share or Share(config.replicas)
    scale = _loss_scale(config, state.d_loss_scale)

    def gradients_of(reals, label, draws, *, lazy_factor):
        reals = prepare_reals(reals, draws.mirror, state.alpha, stage=stage, dtype=state.w_avg.dtype)
        fakes, w = generate(config, state.g_params, label, draws, stage, state.alpha)
        # The discriminator takes colours apart, and each would have its own fade computed.
        fakes = jax.lax.optimization_barrier(fakes)

        def loss_fn(d_params):
            shrink = 2 ** (config.image.num_stages - 1 - stage)
            loss, metrics = discriminator_loss(
                config.loss,
                judge(config, d_params, label, stage, state.alpha, share),
                reals,
                fakes,
                shrink=shrink,
                gp_factors=draws.gp_factors,
                lazy_factor=lazy_factor,
                scale=scale,
            )
            return jnp.mean(loss), metrics

        loss, metrics, gradients = _differentiate(loss_fn, state.d_params, scale)
        return gradients, jnp.mean(w, axis=0), {'d_loss': loss} | jax.tree.map(jnp.mean, metrics)

    def means(lazy_factor):
        return mean_over_replicas(functools.partial(gradients_of, lazy_factor=lazy_factor), share, reals, label, draws)

    interval = config.loss.lazy_r1_interval
    with matmul_precision(config.precision):
        if config.loss.name != 'logistic' or interval == 1:
            return means(1.0)
        step_number = state.cur_nimg // _global_batch(config, share, reals)
        return jax.lax.cond(step_number % interval == 0, lambda: means(float(interval)), lambda: means(None))


def generator_gradients(config, state, label, draws, *, stage, share=None):
    """Differentiates the generator's loss; see `generator_step` for the arguments.

    Returns:
      (gradients, mean w [W], dict of metrics), means over all replicas.
    """
    share = share or Share(config.replicas)
    scale = _loss_scale(config, state.g_loss_scale)

    def gradients_of(label, draws):
        def loss_fn(g_params):
            fakes, w = generate(config, g_params, label, draws, stage, state.alpha)
            fakes = jax.lax.optimization_barrier(fakes)
            logits = judge(config, state.d_params, label, stage, state.alpha, share)(fakes)
            return jnp.mean(generator_loss(config.loss, logits)), w

        loss, w, gradients = _differentiate(loss_fn, state.g_params, scale)
        metrics = {
            'g_loss': loss,
            'w_norm': jnp.mean(jnp.linalg.norm(w, axis=-1)),
            'w_spread': jnp.mean(jnp.linalg.norm(w - state.w_avg, axis=-1)),
        }
        return gradients, jnp.mean(w, axis=0), metrics

    with matmul_precision(config.precision):
        return mean_over_replicas(gradients_of, share, label, draws)


def discriminator_step(config, state, reals, label, draws, *, stage, lr, share=None):
    """Trains the discriminator by one batch; averages the generator as it is before its own step.

    Args:
      config: a Config.
      state: a TrainState.
      reals: [N, H, W, C] at the size of the stage, uint8 or floats in [-1, 1].
      label: [N, K] of the real images; the generated ones take the same.
      draws: StepDraws.
      stage: the active stage (static).
      lr: learning rate.
      share: what of the step this device does, and so N; None for all of it.

    Returns:
      state: the next one, `cur_nimg` further by the images of all devices.
      metrics: dict of scalars.
    """
    gradients, w_mean, metrics = discriminator_gradients(config, state, reals, label, draws, stage=stage, share=share)
    d_params, d_optimizer, skipped, loss_scale, health = _apply(
        config, gradients, state.d_optimizer, state.d_params, state.d_skipped, state.d_loss_scale, lr
    )
    batch = _global_batch(config, share, reals)
    beta = 0.5 ** (batch / (config.train.ema_kimg * 1000)) if config.train.ema_kimg else 0.0
    state = state.replace(
        d_params=d_params,
        d_optimizer=d_optimizer,
        d_skipped=skipped,
        d_loss_scale=loss_scale,
        g_ema=jax.tree.map(lambda p, e: p + (e - p) * beta, state.g_params, state.g_ema),
        ema_w_avg=jnp.array(state.w_avg, copy=True),
        w_avg=_average_w(config, state.w_avg, w_mean),
        cur_nimg=state.cur_nimg + batch,
    )
    return state, metrics | {f'd_{name}': value for name, value in health.items()}


def generator_step(config, state, label, draws, *, stage, lr, share=None):
    """Trains the generator by one batch.

    Args:
      config: a Config.
      state: a TrainState.
      label: [N, K] for the generated images.
      draws: StepDraws.
      stage: the active stage (static).
      lr: learning rate.
      share: what of the step this device does, and so N; None for all of it.

    Returns:
      state: the next one.
      metrics: dict of scalars.
    """
    gradients, w_mean, metrics = generator_gradients(config, state, label, draws, stage=stage, share=share)
    g_params, g_optimizer, skipped, loss_scale, health = _apply(
        config, gradients, state.g_optimizer, state.g_params, state.g_skipped, state.g_loss_scale, lr
    )
    state = state.replace(
        g_params=g_params,
        g_optimizer=g_optimizer,
        g_skipped=skipped,
        g_loss_scale=loss_scale,
        w_avg=_average_w(config, state.w_avg, w_mean),
    )
    return state, metrics | {f'g_{name}': value for name, value in health.items()}


def iterate(config, state, batch, lr, *, stage, share=None):
    """Takes a D step and a G step, with their own random draws.

    Args:
      config: a Config.
      state: a TrainState.
      batch: has `images` [N, H, W, C], `labels` [N, K] of theirs and `g_labels` [N, K] for the generator's step.
      lr: learning rate.
      stage: the active stage (static).
      share: what of the iteration this device does, and so N; None for all of it.

    Returns:
      (state, metrics).
    """
    share = share or Share(config.replicas)
    size, options = batch.images.shape[0], {'stage': stage, 'replicas': share.numbers(), 'dtype': state.w_avg.dtype}
    draws = draw_discriminator_step(config, state.key, state.cur_nimg, size, **options)
    state, d_metrics = discriminator_step(
        config, state, batch.images, batch.labels, draws, stage=stage, lr=lr, share=share
    )
    # One step after the other: computed side by side they would need the memory of both. What the generator's step is
    # drawn from waits, its weights do not: both steps read them in the same layout, which is made once.
    waiting = {name: getattr(state, name) for name in ('d_params', 'w_avg', 'key', 'cur_nimg')}
    state = state.replace(**jax.lax.optimization_barrier(waiting))
    draws = draw_generator_step(config, state.key, state.cur_nimg, size, **options)
    state, g_metrics = generator_step(config, state, batch.g_labels, draws, stage=stage, lr=lr, share=share)
    return state, d_metrics | g_metrics


def _global_batch(config, share, images):
    """How many images a step shows over all devices."""
    return images.shape[0] * (config.replicas // share.replicas if share else 1)


def _scales_loss(config):
    """Whether small gradients would vanish in the activations' type."""
    return resolved(config.precision) == 'float16'


def _loss_scale(config, log2_scale):
    return jnp.exp2(log2_scale) if _scales_loss(config) else 1.0


def _differentiate(loss_fn, params, scale):
    """Differentiates a loss that stands multiplied by `scale` meanwhile.

    Returns:
      (loss, what else the function returns, gradients), all unscaled.
    """

    def scaled(params):
        loss, rest = loss_fn(params)
        return loss * scale, (loss, rest)

    gradients, (loss, rest) = jax.grad(scaled, has_aux=True)(params)
    return loss, rest, jax.tree.map(lambda g: g / scale, gradients)


def generate(config, g_params, label, draws, stage, alpha):
    """Returns images in training [N, H, W, C] and the w of the first latents [N, W]."""
    generator = config.generator
    w = map_latents(generator, g_params, draws.z, label)
    ws = broadcast_w(generator, w)
    if draws.z_mix is not None:  # mixing regularization (Section 3.1); the second latent has the same label
        ws_mix = broadcast_w(generator, map_latents(generator, g_params, draws.z_mix, label))
        before = jnp.arange(generator.num_ws) < draws.crossover[:, None]
        ws = jnp.where(before[..., None], ws, ws_mix)
    images = synthesize_images(
        generator, g_params, ws, draws.noise, stage=stage, alpha=alpha, dtype=activation_dtype(config.precision)
    )
    return images, jax.lax.stop_gradient(w)


def judge(config, d_params, label, stage, alpha, share):
    """Returns the discriminator as a function of images alone."""

    def logits_of(images):
        return discriminate(
            config.discriminator,
            d_params,
            images,
            label,
            stage=stage,
            alpha=alpha,
            replicas=share.replicas_at_once,
            dtype=activation_dtype(config.precision),
        )

    return logits_of


def _average_w(config, w_avg, w_mean):
    return w_avg if config.generator.is_progan else w_mean + (w_avg - w_mean) * config.train.w_avg_beta


def _apply(config, gradients, optimizer, params, skipped, log2_scale, lr):
    """Takes an Adam step, unless the gradients' norm is not finite: then weights and moments stay as they are.

    Returns:
      (params, optimizer, steps skipped in a row, log2 of the loss's scale in the next step, metrics).
    """
    train = config.train
    # Gradients in the shape of the weights first: fused with what turns them around, updates could not be in place.
    gradients = jax.tree.map(lambda g: with_layout_constraint(g, Layout(tuple(range(g.ndim)))), gradients)
    norm = jnp.sqrt(sum(jnp.vdot(g, g, precision='highest') for g in jax.tree.leaves(gradients)))
    finite = jnp.isfinite(norm)
    updated = adam_update(
        gradients, optimizer, params, lr=lr, beta1=train.beta1, beta2=train.beta2, epsilon=train.epsilon
    )
    params, optimizer = jax.tree.map(lambda new, old: jnp.where(finite, new, old), updated, (params, optimizer))
    skipped = jnp.where(finite, 0, skipped + 1)
    if _scales_loss(config):
        log2_scale = log2_scale + jnp.where(finite, _SCALE_UP, -_SCALE_DOWN)
    return (
        params,
        optimizer,
        skipped,
        log2_scale,
        {'gradient_norm': norm, 'skipped': 1 - finite.astype(jnp.int32), 'skipped_in_a_row': skipped},
    )
