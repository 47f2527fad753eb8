"""The feature networks that metrics see images with, by the words that metrics use for them."""

import functools

import jax.numpy as jnp

from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks import catalogue
from stylegan_jax.feature_networks.classifier import Classifier
from stylegan_jax.feature_networks.inception import Inception
from stylegan_jax.feature_networks.lpips import LPIPS
from stylegan_jax.feature_networks.vgg import VGG16, random_arrays, random_name
from stylegan_jax.feature_networks.weight_files import read_arrays
from stylegan_jax.metrics.diversity import pairs
from stylegan_jax.runtime.on_devices import OnDevices


class Networks:
    """Loads a network when it is first asked for.

    UserError is raised where its weights are not there, or are those of another network.
    """

    def __init__(self, options, devices):
        """Loads nothing yet.

        Args:
          options: `evaluator.Options`.
          devices: a tuple of devices of this process.
        """
        self._options, self._devices = options, tuple(devices)
        self.run = functools.cache(self._run)

    def _run(self, name):
        """Returns what looks at images; `run` keeps it.

        Args:
          name: 'inception', 'vgg', 'lpips' (of pairs), 'toy_faces' or 'classifiers'.

        Returns:
          (dict for JSON of what the outputs depend on, function of uint8 images [N, H, W, C] that gives a dict of its
          outputs [N, D], or of [N / 2, D] for pairs).
        """
        network, outputs, way = getattr(self, f'_{name}')()
        several = network if isinstance(network, tuple) else (network,)
        way |= {
            'feature_network': ','.join(each.name for each in several),
            'feature_digest': ','.join(each.digest for each in several),
        }
        return way, OnDevices(outputs, network, self._devices, 'float32')

    def _inception(self):
        resize, precision = self._options.resize, self._options.precision

        def outputs(network, images):
            features = network.features(images, resize)
            return {'features': features, 'logits': network.logits(features, biased=False)}

        path = catalogue.find('inception-2015', self._options.inception, download=self._options.download)
        return (
            Inception.from_arrays(read_arrays(path), where=path, dtype=precision),
            outputs,
            {'resize': resize, 'precision': precision},
        )

    def _vgg(self):
        arrays, where, name = self._vgg_arrays
        return (
            VGG16.from_arrays(arrays, where=where, name=name),
            lambda network, images: {'features': network.features(images)},
            {'resize': 'legacy', 'precision': 'float32'},
        )

    def _lpips(self):
        def outputs(network, images):
            return {'distances': network.distance(*pairs(images.astype(jnp.float32)))[:, None]}

        return self.lpips, outputs, {'precision': 'float32'}

    def _toy_faces(self):
        return (
            Classifier.load('toy_faces'),
            lambda network, images: {'features': network.features(images)},
            {'precision': 'float32'},
        )

    def _classifiers(self):
        def outputs(networks, images):
            return {'logits': jnp.concatenate([network.logits(images) for network in networks], axis=1)}

        return self.classifiers, outputs, {'precision': 'float32'}

    @functools.cached_property
    def lpips(self):
        """The perceptual distance."""
        arrays, where, name = self._vgg_arrays
        return LPIPS.from_arrays(arrays, where=where, name=name)

    @functools.cached_property
    def classifiers(self):
        """Those of separability, a tuple."""
        return tuple(map(Classifier.load, self._options.classifiers))

    @functools.cached_property
    def _vgg_arrays(self):
        if self._options.vgg == 'random':
            return random_arrays(self._options.seed), 'random weights', random_name(self._options.seed)
        try:
            path = catalogue.find('vgg16', self._options.vgg, download=self._options.download)
        except UserError as error:
            raise UserError(
                f'{error}; path lengths and diversity do with --vgg=random, but compare with no published ones then'
            ) from None
        return read_arrays(path), path, 'vgg16'
