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


def discriminator_loss(config, discriminate, reals, fakes, *, shrink, gp_factors=None):
    """Loss of each pair of a real and a generated image.

    Args:
      config: a LossConfig.
      discriminate: images [N, H, W, C] -> logits [N].
      reals: [N, H, W, C].
      fakes: [N, H, W, C].
      shrink: side of the full image over the side of these.
      gp_factors: 'wgan_gp' only: where between real (0) and generated (1) the penalty is taken, [N, 1, 1, 1].

    Returns:
      loss: [N].
      metrics: dict of [N]: real_logits, fake_logits, and the penalties as they are before their weights.
    """
    if config.name == 'logistic':
        return _logistic_loss(config, discriminate, reals, fakes, shrink)
    return _wgan_gp_loss(config, discriminate, reals, fakes, shrink, gp_factors)


def _logistic_loss(config, discriminate, reals, fakes, shrink):
    """Logistic loss with R1, and R2 if asked for (Mescheder et al. 2018, equations 9 and 10)."""
    real_logits, r1 = _logits_and_penalty(discriminate, reals, shrink, config.r1_gamma)
    fake_logits, r2 = _logits_and_penalty(discriminate, fakes, shrink, config.r2_gamma)
    loss = jax.nn.softplus(fake_logits) + jax.nn.softplus(-real_logits)
    metrics = {'real_logits': real_logits, 'fake_logits': fake_logits}
    if config.r1_gamma:
        loss, metrics['r1_penalty'] = loss + r1 * (config.r1_gamma / 2), r1
    if config.r2_gamma:
        loss, metrics['r2_penalty'] = loss + r2 * (config.r2_gamma / 2), r2
    return loss, metrics


def _logits_and_penalty(discriminate, images, shrink, gamma):
    """Logits, and the squared gradient norms there; one forward pass serves both."""
    if not gamma:
        return discriminate(images), None
    logits, pullback = jax.vjp(discriminate, images)
    return logits, _squared_norms(pullback(jnp.ones_like(logits))[0]) / shrink ** 2


def _wgan_gp_loss(config, discriminate, reals, fakes, shrink, gp_factors):
    """Wasserstein loss with gradient penalty (Gulrajani et al. 2017) and drift (ProGAN Appendix A.1)."""
    real_logits, fake_logits = discriminate(reals), discriminate(fakes)
    mixed = reals + (fakes - reals) * gp_factors
    mixed_logits, pullback = jax.vjp(discriminate, mixed)
    norms = jnp.sqrt(_squared_norms(pullback(jnp.ones_like(mixed_logits))[0])) / shrink
    penalty = jnp.square(norms - config.wgan_target)
    loss = (fake_logits - real_logits + penalty * (config.wgan_lambda / config.wgan_target ** 2)
            + jnp.square(real_logits) * config.wgan_epsilon)
    return loss, {'real_logits': real_logits, 'fake_logits': fake_logits, 'mixed_norms': norms}


def _squared_norms(gradients):
    return jnp.sum(jnp.square(gradients), axis=(1, 2, 3))
