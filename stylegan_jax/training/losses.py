"""The losses as functions of a discriminator and of images.

`discriminate` is a function [N, H, W, C] -> logits [N] in which everything else (weights, labels, stage) is bound.

Penalties on gradients are about gradients with respect to *full-size* pixels. The official networks take full-size
images at every stage, in which each pixel of the stage is repeated shrink x shrink times, where shrink is the side of
the full image over the side of the stage. Each repeated pixel gets 1 / shrink^2 of the gradient of the stage's pixel,
and there are shrink^2 of them, so the norm of the gradient is 1 / shrink of that with respect to the stage's pixels.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from stylegan_jax.config import LossConfig


def generator_loss(config: LossConfig, fake_logits: jax.Array) -> jax.Array:
    """Returns the loss of each generated image.

    Args:
      config: a LossConfig; 'logistic' is the non-saturating loss, 'wgan_gp' is minus the score.
      fake_logits: the discriminator's outputs for these images [N].

    Returns:
      [N].

    Reference:
      Goodfellow et al. 2014, Section 3 (-log D(G(z))); Arjovsky et al. 2017, Algorithm 1.
    """
    # -log sigmoid(x) = softplus(-x)
    return jax.nn.softplus(-fake_logits) if config.name == 'logistic' else -fake_logits


def discriminator_loss(
    config: LossConfig,
    discriminate: Callable[[jax.Array], jax.Array],
    reals: jax.Array,
    fakes: jax.Array,
    *,
    shrink: int,
    gp_factors: jax.Array | None = None,
    augment: Callable[[jax.Array, str], jax.Array] | None = None,
    lazy_factor: float | None = 1.0,
    scale: jax.typing.ArrayLike = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns the loss of each pair of a real and a generated image.

    Args:
      config: a LossConfig.
      discriminate: images [N, H, W, C] -> logits [N].
      reals: [N, H, W, C].
      fakes: [N, H, W, C].
      shrink: side of the full image over the side of these images.
      gp_factors: 'wgan_gp' only: where between real (0) and generated (1) the penalty is taken [N, 1, 1, 1].
      augment: augments images [N, H, W, C] of a kind, 'real' or 'fake', before they are scored; None for nothing.
        R1 and R2 are about gradients at the images before, that of 'wgan_gp' about those after it.
      lazy_factor: 'logistic' only: factor of the penalties in a step that takes them (lazy regularization); None for a
        step without penalties (static).
      scale: factor of the logits while the penalties differentiate them, which keeps small gradients from vanishing in
        float16 (see `loss_scale`).

    Returns:
      loss: [N].
      metrics: dict of arrays [N]: real_logits, fake_logits, and the penalties before they are weighted (r1_penalty,
        r2_penalty) or the gradient norms that they are about (mixed_norms).
    """
    if config.name == 'logistic':
        return _logistic_loss(config, discriminate, reals, fakes, shrink, augment, lazy_factor, scale)
    if augment:
        reals, fakes = augment(reals, 'real'), augment(fakes, 'fake')
    return _wgan_gp_loss(config, discriminate, reals, fakes, shrink, gp_factors, scale)


def _logistic_loss(config, discriminate, reals, fakes, shrink, augment, lazy_factor, scale):
    """Logistic loss with R1 regularization, and R2 if asked for (Mescheder et al. 2018, equations 9 and 10).

    With lazy regularization (StyleGAN2, Section 3.2) only some steps take the penalties, multiplied by `lazy_factor`.
    In the others they are 0, so that both the loss and the metrics have the right means over steps.
    """
    logits, metrics, penalties = {}, {}, 0.0
    for kind, images, name, gamma in (('real', reals, 'r1', config.r1_gamma), ('fake', fakes, 'r2', config.r2_gamma)):
        score = discriminate if augment is None else lambda images, kind=kind: discriminate(augment(images, kind))
        if gamma and lazy_factor is not None:
            logits[kind], squared_norms = _logits_and_squared_norms(score, images, scale)
            # R1 or R2, with respect to pixels of full size (see the top of the file).
            penalty = squared_norms * (lazy_factor / shrink**2)
            penalties = penalties + penalty * (gamma / 2)
        else:
            logits[kind] = score(images)
            penalty = jnp.zeros_like(logits[kind])
        if gamma:
            metrics[f'{name}_penalty'] = penalty
    loss = jax.nn.softplus(logits['fake']) + jax.nn.softplus(-logits['real']) + penalties
    return loss, {f'{kind}_logits': values for kind, values in logits.items()} | metrics


def _logits_and_squared_norms(discriminate, images, scale):
    """Returns logits [N] and the squared norms of their gradients [N]; one forward pass serves both."""
    logits, pullback = jax.vjp(discriminate, images)
    # This is the gradient of the sum of all logits, as in the official code. Through the minibatch statistics a logit
    # depends on the other images of its group as well.
    gradients = pullback(jnp.full_like(logits, scale))[0] / scale
    return logits, jnp.sum(jnp.square(gradients), axis=(1, 2, 3))


def _wgan_gp_loss(config, discriminate, reals, fakes, shrink, gp_factors, scale):
    """Wasserstein loss with gradient penalty (Gulrajani et al. 2017, equation 3) and drift (ProGAN Appendix A.1)."""
    real_logits, fake_logits = discriminate(reals), discriminate(fakes)
    mixed = reals + (fakes - reals) * gp_factors
    norms = jnp.sqrt(_logits_and_squared_norms(discriminate, mixed, scale)[1]) / shrink
    penalty = jnp.square(norms - config.wgan_target)
    loss = (
        fake_logits
        - real_logits
        + penalty * (config.wgan_lambda / config.wgan_target**2)
        + jnp.square(real_logits) * config.wgan_epsilon
    )
    return loss, {'real_logits': real_logits, 'fake_logits': fake_logits, 'mixed_norms': norms}
