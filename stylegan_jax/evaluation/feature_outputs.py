"""The feature networks that metrics see images with, by the names that descriptions of metrics use for them."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stylegan_jax.evaluation.options import Options
from stylegan_jax.feature_networks import catalogue
from stylegan_jax.feature_networks.classifier import Classifier
from stylegan_jax.feature_networks.inception import Inception
from stylegan_jax.feature_networks.lpips import LPIPS
from stylegan_jax.feature_networks.vgg import VGG16, random_arrays, random_name
from stylegan_jax.feature_networks.weight_files import read_arrays
from stylegan_jax.metrics.diversity import pairs
from stylegan_jax.runtime.on_devices import OnDevices


class FeatureNetwork(NamedTuple):
    """A feature network on the devices.

    Attributes:
      identity: dict for JSON of all that the outputs depend on, other than the images.
      run: takes uint8 images [N, H, W, C], returns a dict of outputs [N, D], or of [N / 2, D] for pairs.
      label_names: names of the columns of the output 'logits' of classifiers; empty for other networks.
    """

    identity: dict
    run: OnDevices
    label_names: tuple[str, ...]


class FeatureNetworks:
    """Loads each network when it is first asked for.

    UserError is raised where the weights are missing, or are those of another network.
    """

    def __init__(self, options: Options, devices: Sequence[jax.Device]):
        """Loads nothing yet.

        Args:
          options: how to measure.
          devices: of this process.
        """
        self._options, self._devices = options, tuple(devices)
        self._loaders = {
            'inception': self._inception,
            'vgg': self._vgg,
            'lpips': self._lpips_of_pairs,
            'toy_faces': self._toy_faces,
            'classifiers': self._classifiers,
        }
        self._loaded: dict[str, FeatureNetwork] = {}

    def get(self, name: str) -> FeatureNetwork:
        """Returns a network that is loaded once.

        Args:
          name: 'inception', 'vgg', 'lpips' (of pairs of images), 'toy_faces' or 'classifiers'.
        """
        if name not in self._loaded:
            networks, outputs, identity = self._loaders[name]()
            identity |= {
                'feature_network': ','.join(each.name for each in networks),
                'feature_digest': ','.join(each.digest for each in networks),
            }
            label_names = tuple(label for each in networks for label in getattr(each, 'label_names', ()))
            run = OnDevices(outputs, networks, self._devices, 'float32')
            self._loaded[name] = FeatureNetwork(identity, run, label_names)
        return self._loaded[name]

    @functools.cached_property
    def lpips(self) -> LPIPS:
        """The perceptual distance itself, which path lengths call inside of their own program."""
        arrays, where, name = self._vgg_arrays(trunk_only=True)
        return LPIPS.from_arrays(arrays, where=where, name=name)

    # Each loader returns (networks, function of (networks, images) that returns outputs, settings of that for JSON).

    def _inception(self):
        resize, precision = self._options.resize, self._options.precision

        def outputs(networks, images):
            features = networks[0].features(images, resize)
            # The official Inception Score leaves out the bias of the logits.
            return {'features': features, 'logits': networks[0].logits(features, biased=False)}

        path = self._find('inception-2015', self._options.inception)
        network = Inception.from_arrays(read_arrays(path), where=path, dtype=precision)
        return (network,), outputs, {'resize': resize, 'precision': precision}

    def _vgg(self):
        arrays, where, name = self._vgg_arrays()
        network = VGG16.from_arrays(arrays, where=where, name=name)
        return (network,), _features, {'resize': 'legacy', 'precision': 'float32'}

    def _lpips_of_pairs(self):
        def outputs(networks, images):
            return {'distances': networks[0].distance(*pairs(images.astype(jnp.float32)))[:, None]}

        return (self.lpips,), outputs, {'precision': 'float32'}

    def _toy_faces(self):
        return (Classifier.load('toy_faces'),), _features, {'precision': 'float32'}

    def _classifiers(self):
        def outputs(networks, images):
            return {'logits': jnp.concatenate([network.logits(images) for network in networks], axis=1)}

        return tuple(map(Classifier.load, self._options.classifiers)), outputs, {'precision': 'float32'}

    def _vgg_arrays(self, *, trunk_only=False):
        """Returns (arrays of weights, their source for messages, name of the network).

        Nine in ten random numbers are those of 'classifier.*', which distances do not need.
        """
        seed = self._options.seed
        if self._options.vgg == 'random':
            return random_arrays(seed, trunk_only=trunk_only), 'random weights', random_name(seed)
        arrays, path = self._vgg_file
        return arrays, path, 'vgg16'

    @functools.cached_property
    def _vgg_file(self):
        """(arrays of weights, the file that they are in)."""
        path = self._find('vgg16', self._options.vgg)
        return read_arrays(path), path

    def _find(self, name, given):
        return catalogue.find(name, given, download=self._options.download)


def _features(networks, images):
    return {'features': networks[0].features(images)}
