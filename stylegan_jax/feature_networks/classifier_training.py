"""Training a classifier on labelled images: the split of the images, the loss, the steps.

The command is `train_classifier`.
"""

import dataclasses
import functools
import math
import typing
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.config.network import ClassifierConfig
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.data.labels import is_one_hot
from stylegan_jax.data.pipeline import indices_at
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks.classifier import Classifier, init_params, logits_and_features
from stylegan_jax.runtime.progress import progress_bar
from stylegan_jax.training.optimizer import adam_init, adam_update

_HELD_OUT_SHARE = 0.1
_FEWEST = 10  # training images that must have a label, and that must lack it
_LOOK = 50  # steps between two reads of the loss, each of which waits for the device
_INIT, _MIRROR, _HOLD_OUT = 0, 1, 2  # purposes of random numbers; each folds its own constant into the key
_BETA1, _BETA2, _EPSILON = 0.9, 0.99, 1e-8  # of Adam


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
                raise UserError('give a number above 0', field=name, value=value)

    @property
    def steps(self) -> int:
        return math.ceil(self.kimg * 1000 / self.batch)


def num_held_out(count: int) -> int:
    """Returns how many of `count` images are held out for the test: a tenth, at least one."""
    return max(1, round(_HELD_OUT_SHARE * count))


def split(count: int, held_out: int, *, seed: int, in_order: bool) -> tuple[np.ndarray, np.ndarray]:
    """Splits images into those for training and those held out for the test.

    Args:
      count: how many images there are.
      held_out: how many of them are held out.
      seed: of the random choice.
      in_order: whether to hold out the last ones instead of a random choice.

    Returns:
      The indices of the images for training, and of those held out; int64.
    """
    order = np.arange(count)
    if not in_order:
        order = np.random.default_rng([_HOLD_OUT, seed]).permutation(count)
    return order[: count - held_out], order[count - held_out :]


def check_labels(labels: np.ndarray, names: Sequence[str], parts: tuple[np.ndarray, np.ndarray], where: object) -> bool:
    """Finds whether labels are classes or attributes, and refuses labels that cannot be learned.

    Args:
      labels: [N, K].
      names: of the K labels.
      parts: indices of the images for training, and of those held out.
      where: the data set, for messages.

    Returns:
      True if the labels are classes, which exclude one another; False if they are independent attributes.

    Raises:
      UserError: there are no labels, they are not 0 or 1, or too few images have one.
    """
    if not labels.shape[1]:
        raise UserError(
            f'{where}: the images have no labels',
            remedy='prepare them with prepare_data --labels=folders, or add a dataset.json',
        )
    if not np.isfinite(labels).all():
        raise UserError(f'{where}: a label is not finite', remedy='mend it')
    wrong = labels[(labels != 0) & (labels != 1)]
    if wrong.size:
        raise UserError(f'{where}: a label is {wrong[0]:g}; a classifier learns labels that are 0 or 1')
    for part, fewest, verb in zip(parts, (_FEWEST, 1), ('learn from', 'be tested on')):
        counts = labels[part].sum(axis=0).astype(int)
        for name, have in zip(names, counts):
            lack = len(part) - have
            if min(have, lack) < fewest:
                raise UserError(
                    f'{where}: of {len(part)} images to {verb}, {have} have {name!r} and {lack} do not',
                    remedy=f'at least {fewest} of each are needed: use more images, or leave that label out',
                )
    return labels.shape[1] > 1 and is_one_hot(labels)


def train(
    dataset: Dataset, indices: np.ndarray, config: ClassifierConfig, options: Options, *, title: str | None = 'training'
) -> tuple[typing.Any, np.ndarray]:
    """Trains a classifier.

    Args:
      dataset: images of the classifier's own size, with labels.
      indices: of the images for training.
      config: of the classifier.
      options: how long, how fast, and the seed.
      title: of the progress bar; None = no bar.

    Returns:
      The parameter tree, and the loss of each step, float32 [steps].

    Raises:
      UserError: the loss is no longer finite.
    """
    key = jax.random.key(options.seed)
    params = init_params(jax.random.fold_in(key, _INIT), config)
    state, losses = adam_init(params, _BETA1), []
    with progress_bar(options.steps * options.batch, title) as bar:
        for step in range(options.steps):
            position = step * options.batch
            rows = indices[indices_at(options.seed, position, options.batch, len(indices))]
            images = dataset.images(rows, dataset.image.num_stages - 1)
            # Cosine decay from `lr` to 0 (Loshchilov and Hutter, 2017, without restarts).
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


def logits_of(dataset: Dataset, indices: np.ndarray, classifier: Classifier, batch: int = 64) -> np.ndarray:
    """Returns the logits of some images of a data set, float32 [len(indices), K]."""
    logits = []
    for start in range(0, len(indices), batch):
        rows = np.resize(indices[start : start + batch], batch)  # repeated to fill the last batch
        logits.append(classifier.logits(dataset.images(rows, dataset.image.num_stages - 1)))
    return np.concatenate(logits)[: len(indices)]


def classification_loss(logits: jax.Array, labels: jax.Array, *, one_hot: bool) -> jax.Array:
    """Computes the cross-entropy of labels [N, K], which are 0 or 1, under logits [N, K]; a scalar.

    It is the softmax cross-entropy of classes if `one_hot`, else the mean sigmoid cross-entropy of the attributes.
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
        raise UserError(f'the loss is {float(loss)} after {position} images', remedy='give a lower lr')
