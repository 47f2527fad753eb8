"""The two averages that training keeps: of the generator's weights, and of the intermediate latents w.

The paper's losses use neither. Images and metrics are made with the averaged generator (`TrainState.g_ema`), and the
truncation trick pulls w towards its average (`networks.generator.Generator.truncate`). `steps` says when each one is
updated.
"""

import jax
import optax

from stylegan_jax.config import Config


def average_generator(config: Config, g_ema: optax.Params, g_params: optax.Params, batch: int) -> optax.Params:
    """Moves the averaged generator ('Gs' in the official code) towards the one that is being trained.

    It is an exponential moving average (EMA) whose half-life is counted in images rather than steps
    (`config.train.ema_kimg`), so that it does not depend on the batch.

    Args:
      config: a Config.
      g_ema: averaged weights, a pytree.
      g_params: weights being trained, a pytree like `g_ema`.
      batch: real images that the step shows, over all replicas.

    Returns:
      The averaged weights after the step; a copy of `g_params` if `config.train.ema_kimg` is 0.

    Reference:
      Karras et al. 2018 (Progressive GAN), Appendix A.1; `G_smoothing_kimg` in the official code of StyleGAN.
    """
    beta = 0.5 ** (batch / (config.train.ema_kimg * 1000)) if config.train.ema_kimg else 0.0
    # In this form, unlike in (1 - beta) * p + beta * e, equal weights stay equal to the bit.
    return jax.tree.map(lambda p, e: p + (e - p) * beta, g_params, g_ema)


def average_w(config: Config, w_avg: jax.Array, w_mean: jax.Array) -> jax.Array:
    """Moves the average of w, the centre of the truncation trick, towards the mean of one step's images.

    Args:
      config: a Config; its `train.w_avg_beta` is the decay per step.
      w_avg: the average until now [W].
      w_mean: mean w over the generated images of the step, over all replicas [W].

    Returns:
      The average after the step [W]; Progressive GAN's stays as it is, because it has no w.

    Reference:
      Karras et al. 2019 (StyleGAN), Appendix B, where the mean over all z is written w with a bar; the running
      estimate of it is `dlatent_avg` in the official code.
    """
    return w_avg if config.generator.is_progan else w_mean + (w_avg - w_mean) * config.train.w_avg_beta
