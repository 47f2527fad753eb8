"""The sample pictures of a run: fixed latents through the averaged generator, and real images beside them."""

import collections.abc
import os

import jax
import numpy as np

from stylegan_jax.config import Config
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.data.labels import is_one_hot
from stylegan_jax.networks.generator import Generator
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.sampler import Sampler
from stylegan_jax.training import TrainState, network, run_key

_GRID_PURPOSE = 2  # the key's purpose, other than those of the steps (training/draws.py)
_MOST_CLASS_ROWS = 32  # rows of classes; a picture of more rows is too large to look at
_CHUNK = 16  # images per call of the generator
_SMALLEST_SIDE = 64  # pixels; smaller images are enlarged by whole factors, so that they can be seen


class SampleGrid:
    """Fixed latents and labels, laid out as a grid; if there are classes, each row has one that has images.

    Attributes:
      z: the latents [N, Z].
      labels: [N, K].
      columns: images in a row.
    """

    def __init__(self, config: Config, dataset: Dataset):
        """Draws the latents, and takes labels from the data set.

        Args:
          config: a Config.
          dataset: a `data.dataset.Dataset`.
        """
        self._config = config
        columns, rows = config.log.grid_size or _fitting_grid(config.image.shape)
        classes = _one_hot_classes(dataset.labels)
        if classes is None:
            labels = dataset.labels[np.arange(rows * columns) % len(dataset)]
        else:
            # A class without images is never trained.
            there = np.flatnonzero(dataset.labels.any(axis=0))
            rows = min(len(there), rows if config.log.grid_size else _MOST_CLASS_ROWS)
            labels = np.eye(classes, dtype=np.float32)[np.repeat(there[:rows], columns)]
        self.columns, self.labels = columns, labels
        key = jax.random.fold_in(run_key(config), _GRID_PURPOSE)
        self.z = np.asarray(jax.random.normal(key, (len(labels), config.generator.z_dim)))

    def reals(self, dataset: Dataset) -> np.ndarray:
        """Returns real images in the same layout, uint8 [H, W, C]; the row of a class shows images of that class."""
        classes = _one_hot_classes(dataset.labels)
        indices = np.arange(len(self.labels)) % len(dataset)
        if classes is not None:
            kinds, counts = np.argmax(dataset.labels, axis=1), np.zeros(classes, int)
            members = [np.flatnonzero(kinds == k) for k in range(classes)]
            for i, kind in enumerate(np.argmax(self.labels, axis=1)):
                if len(members[kind]):
                    indices[i] = members[kind][counts[kind] % len(members[kind])]
                    counts[kind] += 1
        images = dataset.images(indices, self._config.image.num_stages - 1)
        return self._layout(images)

    def fakes(self, state: TrainState, poll: collections.abc.Callable[[], object] = lambda: None) -> np.ndarray:
        """Returns the averaged generator's images at the state's level of detail, in full size, uint8 [H, W, C].

        They are made without truncation and with the stored noise inputs, so that ticks differ by training alone.

        Args:
          state: a TrainState on this process's first device.
          poll: called before each batch of images; it may raise to end the work.
        """
        sampler = self._sampler(network(self._config, state), float(state.lod))

        def arguments():
            for start in range(0, len(self.z), sampler.batch):
                poll()
                some = slice(start, start + sampler.batch)
                yield self.z[some], self.labels[some] if self._config.image.label_dim else None

        images = np.concatenate(list(sampler.stream(arguments())))
        return self._layout(grid.enlarge(images, self._config.image.shape[0] // images.shape[1]))

    def prepare(self, stage: int) -> None:
        """Compiles the programs that `fakes` needs at a stage; may be called in a thread, ahead of time."""
        # Shapes suffice to compile: nothing is computed here, and no weights are needed.
        config = self._config.generator
        dtype = np.float64 if self._config.precision == 'float64' else np.float32
        generator = jax.eval_shape(lambda: Generator.init(jax.random.key(0), config))
        generator = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), generator)
        self._sampler(generator, float(config.image.num_stages - 1 - stage)).compile()

    def _sampler(self, generator, lod):
        # The sampler uses one device, the one that holds the copy of the state.
        return Sampler(
            generator,
            lod=lod,
            psi=None if generator.config.is_progan else 1.0,
            batch=min(_CHUNK, len(self.z)),
            devices=jax.local_devices()[:1],
        )

    def _layout(self, images):
        picture = grid.image_grid(images, self.columns)
        return grid.enlarge(picture, max(1, _SMALLEST_SIDE // self._config.image.resolution))


def save(workdir: str, name: str, picture: np.ndarray) -> None:
    """Writes a picture, uint8 [H, W, C], as PNG into the run's folder."""
    grid.save_png(os.path.join(workdir, name), picture)


def _fitting_grid(shape):
    """Returns (columns, rows) that fill 1920x1080 pixels with images of a shape, within limits."""
    return int(np.clip(1920 // shape[1], 3, 32)), int(np.clip(1080 // shape[0], 2, 32))


def _one_hot_classes(labels):
    """Returns the number of classes of one-hot labels; None if there are no labels, or if they are not one-hot."""
    return labels.shape[1] if is_one_hot(labels) else None
