"""Classifiers with the architecture of the discriminator (StyleGAN Section 4.2): their logits and their features.

Linear separability takes the attributes of images from the logits. The features of a classifier that was trained on a
data set's own attributes are a space for Fréchet distances on that data set. Such a distance must not be called FID:
that name is reserved for the features of Inception.
"""

import dataclasses
import math
import os
import pathlib
import typing
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from numpy.typing import ArrayLike

from stylegan_jax.config.network import ClassifierConfig, ImageConfig
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks.arrays import digest
from stylegan_jax.networks import file as network_file
from stylegan_jax.networks.discriminator import Discriminate
from stylegan_jax.storage import foreign_networks, official

_SHIPPED = {'toy_faces': pathlib.Path(__file__).parent / 'toy-faces-classifier.npz'}
_PICKLE_MAGIC = b'\x80'
_ZIP_MAGIC = b'PK\x03\x04'  # the first bytes of a zip file, which an .npz is


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Classifier:
    """A classifier with its weights; a pytree.

    Attributes:
      params: the parameter tree.
      config: the architecture and the names of the labels.
      name: of the file that it was loaded from, such as 'toy-faces-classifier'.
      digest: identifies the weights, see `arrays.digest`.
    """

    params: typing.Any
    config: ClassifierConfig = dataclasses.field(metadata={'static': True})
    name: str = dataclasses.field(metadata={'static': True})
    digest: str = dataclasses.field(metadata={'static': True})

    @classmethod
    def load(cls, path: str | os.PathLike) -> typing.Self:
        """Loads a classifier.

        Args:
          path: a file that `save` wrote; an official pickle, such as celebahq-classifier-00-male.pkl; or 'toy_faces'
            for the classifier of Toy faces that this package includes.

        Raises:
          UserError: the path does not exist, is damaged, or holds no classifier.
        """
        path = pathlib.Path(_SHIPPED.get(os.fspath(path), path)).expanduser()
        try:
            with open(path, 'rb') as file:
                magic = file.read(len(_ZIP_MAGIC))
        except OSError as error:
            raise UserError(
                f'{path}: {error.strerror}',
                remedy="give a classifier that train_classifier made, an official one, or 'toy_faces'",
            ) from None
        if foreign := foreign_networks.kind_of(path):
            raise UserError(f'{path}: this is {foreign}', remedy='give a classifier')
        if magic[:1] not in (_ZIP_MAGIC[:1], _PICKLE_MAGIC):
            raise UserError(f'{path}: not a classifier', remedy='give one that train_classifier made')
        if magic != _ZIP_MAGIC:  # an official pickle, whose file name says which attribute its single score is
            network, arrays = official.load_classifier(path)
            names = [path.stem] if network.num_scores == 1 else [f'class {k}' for k in range(network.num_scores)]
            return cls.from_arrays(ClassifierConfig(network, tuple(names)), arrays, name=path.stem, where=path)
        kind, config, arrays = network_file.read(path)
        if kind != 'classifier':
            raise UserError(f'{path}: this file holds a {kind}, and a classifier was asked for')
        return cls.from_arrays(config, arrays, name=path.stem, where=path)

    @classmethod
    def from_arrays(
        cls, config: ClassifierConfig, arrays: Mapping[str, ArrayLike], *, name: str, where: object
    ) -> typing.Self:
        """Builds a classifier from arrays {name: array} as `save` writes them.

        Raises:
          UserError: the arrays do not fit `config`; the message begins with `where`, the file that they came from.
        """
        template = network_file.template_of(
            lambda: jax.eval_shape(lambda key: init_params(key, config), jax.random.key(0))
        )
        try:
            network_file.check_arrays(arrays, _named(template))
        except UserError as error:
            raise UserError(f'{where}: {error}') from None
        params = {tuple(key.split('/')[1:]): jnp.asarray(array) for key, array in arrays.items()}
        return cls.from_params(config, traverse_util.unflatten_dict(params), name=name)

    @classmethod
    def from_params(cls, config: ClassifierConfig, params: typing.Any, *, name: str) -> typing.Self:
        """Builds a classifier from a parameter tree such as `init_params` returns."""
        return cls(params, config, name, digest(_named(params)))

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels, one for each of the K logits."""
        return self.config.label_names

    @property
    def resolution(self) -> int:
        """Longer side of the network's own input [pixels]."""
        return self.config.image.resolution

    def save(self, path: str | os.PathLike):
        """Writes one portable file (arrays and config, no pickle) that `load` reads."""
        network_file.write(path, kind='classifier', config=self.config, arrays=_named(self.params))

    def logits(self, images: ArrayLike) -> jax.Array:
        """Computes the logits of the labels.

        Args:
          images: uint8 [N, H, W, C] of the classifier's own size, or larger by a power of two; larger images are
            reduced by averaging over boxes.

        Returns:
          float32 [N, K]. An attribute's logit is positive for images that have the attribute; the largest logit is that
          of the predicted class.

        Raises:
          UserError: the images have another type or size.
        """
        return self._run(images)[0]

    def features(self, images: ArrayLike) -> jax.Array:
        """Computes the features below the logits: the rectified outputs of the last but one dense layer.

        Args:
          images: see `logits`.

        Returns:
          float32 [N, D].

        Raises:
          UserError: see `logits`.
        """
        return self._run(images)[1]

    def _run(self, images):
        with jax.default_matmul_precision('highest'):  # GPUs would round the factors of products to TF32
            return _logits_and_features_compiled(self.config, self.params, images)


def init_params(key: jax.Array, config: ClassifierConfig) -> typing.Any:
    """Draws the initial parameter tree of a classifier; `key` is a typed JAX key."""
    network, image = config.network, config.image
    images = jnp.zeros((1, *image.shape))
    return Discriminate(network).init(key, images, stage=image.num_stages - 1, method=Discriminate.scores_and_features)[
        'params'
    ]


def logits_and_features(config: ClassifierConfig, params: typing.Any, images: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Runs the network: uint8 images [N, H, W, C] -> logits [N, K] and features [N, D]; see `Classifier.logits`."""
    images = _reduced(config.image, images) / 127.5 - 1
    replicas = 1
    if config.network.mbstd_group_size > 1:
        # Official metrics give the classifier batches of exactly one group. The minibatch statistics are therefore
        # formed over neighbouring images (each group is a "replica" of its own), whatever the size of the batch.
        replicas, rest = divmod(len(images), config.network.mbstd_group_size)
        if rest:
            raise UserError(
                f'{len(images)} images: this classifier takes groups of {config.network.mbstd_group_size}',
                remedy='give a multiple of it',
            )
    return Discriminate(config.network).apply(
        {'params': params},
        images,
        stage=config.image.num_stages - 1,
        replicas=replicas,
        method=Discriminate.scores_and_features,
    )


_logits_and_features_compiled = jax.jit(logits_and_features, static_argnums=0)


def _named(params):
    return traverse_util.flatten_dict({'params': params}, sep='/')


def _reduced(image: ImageConfig, images: ArrayLike) -> jax.Array:
    """Returns float32 images of the size of `image`, 0 to 255, not rounded; sums over boxes are exact."""
    height, width, channels = image.shape
    factor = images.shape[1] // height if images.ndim == 4 else 0
    is_power = factor > 0 and math.log2(factor).is_integer()
    if images.dtype != np.uint8 or not is_power or images.shape[1:] != (height * factor, width * factor, channels):
        raise UserError(
            f'images are {images.dtype} {list(images.shape)}; this classifier takes uint8 '
            f'[N, {height}, {width}, {channels}], or height and width times a power of two'
        )
    boxes = images.astype(jnp.float32).reshape(len(images), height, factor, width, factor, channels)
    return boxes.sum(axis=(2, 4)) / factor**2
