"""An experiment of this project: labels are made linearly separable in W while the generator is trained.

The paper measures separability with linear classifiers of w that are fitted afterwards (Section 4.2,
`metrics.separability`). Here such a classifier, the probe, is trained along. Its hinge loss, that of a linear support
vector machine, is a small term of the generator's loss: the mapping network moves w to the right side of each label's
plane. The paper names the idea in its conclusion only; neither the form nor the constants are from any paper.
"""

import flax.struct
import jax
import jax.numpy as jnp
import optax

from stylegan_jax.config import Config
from stylegan_jax.networks import ops
from stylegan_jax.training.optimizer import adam_init, adam_update

_DECAY = 0.01  # weight of half the squared length of a plane's normal, which asks for a wide margin
_RATE = 10.0  # learning rate of the probe over that of the networks, because it has to follow w


@flax.struct.dataclass
class Probe:
    """A linear classifier of w, with one plane for each label.

    Attributes:
      params: {'weight' [W, K], 'bias' [K]}.
      optimizer: Adam's state.
    """

    params: optax.Params
    optimizer: optax.ScaleByAdamState


def create_probe(config: Config, dtype: jax.typing.DTypeLike) -> Probe:
    """Makes a probe that knows nothing: all of its scores are 0."""
    width, labels = config.generator.mapped_dim, config.image.label_dim
    params = {'weight': jnp.zeros((width, labels), dtype), 'bias': jnp.zeros(labels, dtype)}
    return Probe(params, adam_init(params, config.train.beta1))


def separation_loss(params: optax.Params, w: jax.Array, w_avg: jax.Array, label: jax.Array) -> jax.Array:
    """Computes the loss that the probe and the mapping network share.

    Both see the direction of w from the average only; otherwise the mapping network could reach any margin by larger w.

    Args:
      params: of the probe.
      w: intermediate latents [N, W].
      w_avg: the average w [W].
      label: [N, K]; 1 is one side of a label's plane, and 0 the other.

    Returns:
      The mean over images and labels of max(0, 1 - t s), where t is 1 or -1 and s the score; with a term for the
      length of the planes' normals.
    """
    directions = ops.pixel_norm(w - jax.lax.stop_gradient(w_avg)) / w.shape[1] ** 0.5  # of length 1
    scores = directions @ params['weight'] + params['bias']
    hinge = jnp.mean(jnp.maximum(0, 1 - (2 * label - 1) * scores))
    return hinge + _DECAY / 2 * jnp.mean(jnp.sum(jnp.square(params['weight']), axis=0))


def train_probe(
    config: Config, probe: Probe, gradients: optax.Params, lr: jax.typing.ArrayLike, finite: jax.Array
) -> Probe:
    """Takes an Adam step with gradients of the probe's parameters, unless the step is skipped (`finite` is false)."""
    train = config.train
    params, optimizer = adam_update(
        gradients,
        probe.optimizer,
        probe.params,
        lr=lr * _RATE,
        beta1=train.beta1,
        beta2=train.beta2,
        epsilon=train.epsilon,
    )
    return jax.tree.map(lambda new, old: jnp.where(finite, new, old), Probe(params, optimizer), probe)
