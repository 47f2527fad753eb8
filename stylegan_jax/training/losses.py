"""The losses as functions of a discriminator and images.

`discriminate` is a function [N, H, W, C] -> logits [N] with everything else (weights, labels, stage) bound.
Penalties on gradients mean gradients with respect to *full-size* pixels: the official code repeats a stage's pixels
up to full size, so seen from the stage's own pixels a gradient is 1 / shrink as long, where shrink is the side of
the full image over the side of the stage.
"""

import jax
import jax.numpy as jnp


def generator_loss(config, fake_logits):
    """Loss of each generated image.

    Args:
      config: a LossConfig; 'logistic' is non-saturating (Goodfellow et al. 2014), 'wgan_gp' is minus the score.
      fake_logits: [N].

    Returns:
      [N].
    """
    return jax.nn.softplus(-fake_logits) if config.name == 'logistic' else -fake_logits


def discriminator_loss(config, discriminate, reals, fakes, *, shrink, gp_factors=None, lazy_factor=1.0, scale=1.0):
    """Loss of each pair of a real and a generated image.

    Args:
      config: a LossConfig.
      discriminate: images [N, H, W, C] -> logits [N].
      reals: [N, H, W, C].
      fakes: [N, H, W, C].
      shrink: side of the full image over the side of these.
      gp_factors: 'wgan_gp' only: where between real (0) and generated (1) the penalty is taken, [N, 1, 1, 1].
      lazy_factor: 'logistic' only: factor of the penalties' weights in a step that takes them; None for none in this
        step (static).
      scale: factor of the logits while penalties differentiate them, so that short floats do not vanish.

    Returns:
      loss: [N].
      metrics: dict of [N]: real_logits, fake_logits, and the penalties as they are before their weights.
    """
    if config.name == 'logistic':
        return _logistic_loss(config, discriminate, reals, fakes, shrink, lazy_factor, scale)
    return _wgan_gp_loss(config, discriminate, reals, fakes, shrink, gp_factors, scale)


def _logistic_loss(config, discriminate, reals, fakes, shrink, lazy_factor, scale):
    """Logistic loss with R1, and R2 if asked for (Mescheder et al. 2018, equations 9 and 10).

    Penalties come out multiplied by `lazy_factor`, 0 where they are left out, so that their means over steps are right.
    """
    logits, metrics = {}, {}
    penalties = 0.0
    for kind, images, name, gamma in (('real', reals, 'r1', config.r1_gamma), ('fake', fakes, 'r2', config.r2_gamma)):
        if gamma and lazy_factor is not None:
            logits[kind], squared_norms = _logits_and_squared_norms(discriminate, images, scale)
            penalty = squared_norms * (lazy_factor / shrink**2)
            penalties = penalties + penalty * (gamma / 2)
        else:
            logits[kind] = discriminate(images)
            penalty = jnp.zeros_like(logits[kind])
        if gamma:
            metrics[f'{name}_penalty'] = penalty
    loss = jax.nn.softplus(logits['fake']) + jax.nn.softplus(-logits['real']) + penalties
    return loss, {f'{kind}_logits': values for kind, values in logits.items()} | metrics


def _logits_and_squared_norms(discriminate, images, scale):
    """Logits [N], and the squared norms of their gradients there [N]; one forward pass serves both."""
    logits, pullback = jax.vjp(discriminate, images)
    gradients = pullback(jnp.full_like(logits, scale))[0] / scale
    return logits, jnp.sum(jnp.square(gradients), axis=(1, 2, 3))


def _wgan_gp_loss(config, discriminate, reals, fakes, shrink, gp_factors, scale):
    """Wasserstein loss with gradient penalty (Gulrajani et al. 2017) and drift (ProGAN Appendix A.1)."""
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
