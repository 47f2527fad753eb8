"""Training a classifier on labelled images: which images, the loss, the steps. `train_classifier` is the command."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.data.labels import is_one_hot
from stylegan_jax.data.pipeline import indices_at
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks.classifier import init_params, logits_and_features
from stylegan_jax.runtime.progress import progress_bar
from stylegan_jax.training.optimizer import adam_init, adam_update

_HELD_OUT_SHARE = 0.1
_FEWEST = 10  # images with a label, and without it, that it is learned from
_LOOK = 50  # steps between two looks at the loss, which wait for the device
_INIT, _MIRROR, _HOLD_OUT = 0, 1, 2  # purposes of random numbers
_BETA1, _BETA2, _EPSILON = 0.9, 0.99, 1e-8


@dataclasses.dataclass(frozen=True)
class Options:
    """How a classifier is trained."""

    kimg: float = 100.0  # images shown, in thousands
    batch: int = 32  # images a step
    lr: float = 0.002  # of Adam at the start; falls to 0 with the cosine of the images shown
    mirror: bool = False  # flip each image with probability one half; labels must stay true
    seed: int = 0  # of everything random

    def __post_init__(self):
        for name, least in (('kimg', 0), ('lr', 0), ('batch', 1)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= least and value > 0):
                raise UserError(f'{name}={value}: give a number above 0')

    @property
    def steps(self):
        return math.ceil(self.kimg * 1000 / self.batch)


def num_held_out(count):
    """Returns how many images are held out beside, or of, so many."""
    return max(1, round(_HELD_OUT_SHARE * count))


def split(count, held_out, *, seed, in_order):
    """Parts images into those to learn from and those to be judged on.

    Args:
      count: how many images there are.
      held_out: how many of them are held out.
      seed: of which ones.
      in_order: hold out the last ones instead.

    Returns:
      Two arrays of indices, int64.
    """
    order = np.arange(count)
    if not in_order:
        order = np.random.default_rng([_HOLD_OUT, seed]).permutation(count)
    return order[: count - held_out], order[count - held_out :]


def check_labels(labels, names, parts, where):
    """Says of which kind labels are, and refuses those that cannot be learned.

    Args:
      labels: [N, K].
      names: of the K labels.
      parts: indices of the images to learn from, and of those held out.
      where: what messages begin with.

    Returns:
      Whether they exclude one another (classes) or are each for itself (attributes).

    Raises:
      UserError: there are none, they are not 0 or 1, or too few images have one.
    """
    if not labels.shape[1]:
        raise UserError(
            f'{where}: the images have no labels; prepare them with prepare_data --labels=folders, or add '
            'a dataset.json'
        )
    if not np.isfinite(labels).all():
        raise UserError(f'{where}: a label is not finite; mend it')
    wrong = labels[(labels != 0) & (labels != 1)]
    if wrong.size:
        raise UserError(f'{where}: a label is {wrong[0]:g}; a classifier learns labels that are 0 or 1')
    for part, fewest, verb in zip(parts, (_FEWEST, 1), ('learn from', 'be judged on')):
        counts = labels[part].sum(axis=0).astype(int)
        for name, have in zip(names, counts):
            lack = len(part) - have
            if min(have, lack) < fewest:
                raise UserError(
                    f'{where}: of {len(part)} images to {verb}, {have} have {name!r} and {lack} do not; at '
                    f'least {fewest} of each are needed: use more images, or leave that label out'
                )
    return labels.shape[1] > 1 and is_one_hot(labels)


def train(dataset, indices, config, options, *, title='training'):
    """Trains a classifier.

    Args:
      dataset: a `Dataset`, its images of the size of the classifier's.
      indices: of the images to learn from.
      config: ClassifierConfig.
      options: Options.
      title: of the progress bar; None = no bar.

    Returns:
      params: its parameter tree.
      losses: float32 [steps], that of each step.

    Raises:
      UserError: the loss ceased to be finite.
    """
    key = jax.random.key(options.seed)
    params = init_params(jax.random.fold_in(key, _INIT), config)
    state, losses = adam_init(params, _BETA1), []
    with progress_bar(options.steps * options.batch, title) as bar:
        for step in range(options.steps):
            position = step * options.batch
            rows = indices[indices_at(options.seed, position, options.batch, len(indices))]
            images = dataset.images(rows, dataset.image.num_stages - 1)
            lr = options.lr * (1 + math.cos(math.pi * step / options.steps)) / 2
            params, state, loss = _step(
                config,
                options.mirror,
                params,
                state,
                images,
                dataset.labels[rows],
                lr,
                jax.random.fold_in(jax.random.fold_in(key, _MIRROR), position),
            )
            losses.append(loss)
            bar.update(options.batch)
            if step % _LOOK == _LOOK - 1 or step == options.steps - 1:
                _check_finite(loss, position)
                bar.set_postfix(loss=f'{loss:.4f}')
    return params, np.array(jax.device_get(losses))


def logits_of(dataset, indices, classifier, batch=64):
    """Returns the logits of some images of a data set, float32 [len(indices), K]."""
    logits = []
    for start in range(0, len(indices), batch):
        rows = np.resize(indices[start : start + batch], batch)  # the last ones over again, to fill the batch
        logits.append(classifier.logits(dataset.images(rows, dataset.image.num_stages - 1)))
    return np.concatenate(logits)[: len(indices)]


def classification_loss(logits, labels, *, one_hot):
    """Cross-entropy of labels [N, K], of 0 and 1, as logits [N, K] see them; a scalar.

    The softmax's of classes where `one_hot`, else the mean of the sigmoid's of each attribute.
    """
    if one_hot:
        return -jnp.mean(jnp.sum(labels * jax.nn.log_softmax(logits), axis=-1))
    return jnp.mean(jax.nn.softplus(logits) - labels * logits)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(config, mirror, params, state, images, labels, lr, key):
    if mirror:
        flipped = jax.random.bernoulli(key, 0.5, (len(images), 1, 1, 1))
        images = jnp.where(flipped, images[:, :, ::-1], images)

    def loss_of(params):
        logits, _ = logits_and_features(config, params, images)
        return classification_loss(logits, labels, one_hot=config.one_hot)

    loss, gradients = jax.value_and_grad(loss_of)(params)
    params, state = adam_update(gradients, state, params, lr=lr, beta1=_BETA1, beta2=_BETA2, epsilon=_EPSILON)
    return params, state, loss


def _check_finite(loss, position):
    if not math.isfinite(loss):
        raise UserError(f'the loss is {float(loss)} after {position} images; give a lower --lr')
