"""Whether a written file is what it should be: both sides draw the same latents, and the images are compared."""

import dataclasses
import functools
import math

import numpy as np

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.conversion.forms import Form
from stylegan_jax.conversion.request import CheckInputs, Request
from stylegan_jax.errors import UserError
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runtime.platforms import matmul_precision
from stylegan_jax.sampling.seed_labels import labels_in_turn
from stylegan_jax.storage import loading

_SEED = 20191  # of latents that nobody else draws
_IMAGES = 8  # more than a group of the minibatch standard deviation
_LARGE, _LARGE_IMAGES = 512, 4  # a generator makes fewer images where these are large
_PSIS = 1.0, 0.5  # where psi is an input


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far the two sides are apart for one network at one level of detail.

    Attributes:
      which: 'ema', 'G' or 'D'.
      size: (H, W) of the images.
      count: number of images.
      largest: largest difference of a value of an image, or of a score. Images are in [-1, 1]; where values are larger,
        as those of untrained networks are, it is relative to the largest of them.
      mean: mean difference.
    """

    which: str
    size: tuple[int, int]
    count: int
    largest: float
    mean: float

    def __str__(self):
        what = 'scores of images' if self.which == 'D' else 'images'
        height, width = self.size
        return (
            f'{self.which}: {self.count} {what} of {height}x{width} differ by {self.largest:.2g} at most, '
            f'by {self.mean:.2g} on average'
        )


def compare(path: str, form: Form, request: Request) -> list[Difference]:
    """Compares a written file with the networks that it was written from.

    Args:
      path: of the file.
      form: its Form.
      request: what was written.

    Returns:
      A Difference for each network; for each of its stages where the file was written in another way than byte for
      byte, and holds them all.

    Raises:
      UserError: the file cannot be read, or has other arrays where they should be the same.
    """
    stored, found = None if form.draw else loading.open_networks(path), []
    with matmul_precision('float32'):
        for which, ours in request.networks.items():
            theirs = stored and stored.load(which)
            if form.exact:
                _require_same_arrays(ours, theirs, request.dtype)
            if form.draw:
                draw = functools.partial(form.draw, path, request)
            else:
                draw = functools.partial(drawn, theirs, kind='z')
            for lod in _lods(form, request, ours):
                if isinstance(ours, Discriminator):
                    found.append(_compared_scores(which, ours, theirs, lod))
                else:
                    found.append(_compared_images(which, ours, draw, form, request, lod))
    return found


def _lods(form, request, network):
    """Returns the levels of detail that a network is compared at."""
    if form.exact or form.draw:  # the same arrays, or a program that has one level of detail
        return [request.lod]
    whole = range(math.ceil(request.lod), network.config.image.num_stages)
    return sorted({request.lod, *map(float, whole)})


def _require_same_arrays(ours, theirs, dtype):
    ours, theirs = ours.named_arrays(), theirs.named_arrays()
    for name, array in ours.items():
        array = np.asarray(array)
        expected = array if dtype is None else array.astype(dtype).astype(array.dtype)
        if name not in theirs or expected.tobytes() != np.asarray(theirs[name]).tobytes():
            raise UserError(f'the file was written, but its array {name} is not the same when it is read')
    if theirs.keys() != ours.keys():
        raise UserError('the file was written, but it has other arrays when it is read')


def _compared_scores(which, ours, theirs, lod):
    images, label = _images(ours, lod)
    expected = np.asarray(ours(images, label, lod=lod))
    return _difference(which, images.shape[1:3], [expected], [np.asarray(theirs(images, label, lod=lod))])


def _compared_images(which, ours, draw, form, request, lod):
    psis = _PSIS if request.psi == 'input' else (request.psi,)
    inputs = [_inputs(ours, form, request, lod, psi) for psi in psis]
    expected = [drawn(ours, one, kind=request.inputs) for one in inputs]
    found = [np.asarray(draw(one), np.float32) for one in inputs]
    if found[0].shape != expected[0].shape:
        raise UserError(
            f'the file was written, but its images have shape {found[0].shape} in place of {expected[0].shape}'
        )
    return _difference(which, expected[0].shape[1:3], expected, found)


def _difference(which, size, expected, found):
    expected, found = np.stack(expected), np.stack(found)
    gap = np.abs(expected - found) / max(1.0, np.abs(expected).max())
    return Difference(which, tuple(size), expected.shape[1], float(gap.max()), float(gap.mean()))


def drawn(generator: Generator, inputs: CheckInputs, *, kind: str) -> np.ndarray:
    """Returns the images [N, H, W, C] that a generator draws from CheckInputs whose latents are 'z' or 'ws'."""
    if kind == 'ws':
        images = generator.synthesize(inputs.latents, noise=inputs.noise, lod=inputs.lod)
    else:
        images = generator(inputs.latents, inputs.label, psi=inputs.psi, noise=inputs.noise, lod=inputs.lod)
    return np.asarray(images, np.float32)


def _count(image):
    return _LARGE_IMAGES if image.resolution >= _LARGE else _IMAGES


def _inputs(generator, form, request, lod, psi):
    """Draws CheckInputs; labels come in turn."""
    config, random = generator.config, np.random.default_rng(_SEED)
    count = _count(config.image)
    latents = random.standard_normal((count, generator.z_dim)).astype(np.float32)
    label = labels_in_turn(generator)(range(count))
    if form.weights_only and not config.is_progan:  # neither side has the other's average w
        psi = 1.0
    if request.inputs == 'ws':
        latents = np.asarray(generator.truncate(generator.map(latents, label), psi))
    noise = request.noise
    if noise == 'inputs' or (form.weights_only and config.use_noise):
        stage, _ = stage_and_alpha(config.image, lod)
        noise = tuple(
            random.standard_normal((count, *config.noise_shape(layer)[1:])).astype(np.float32)
            for layer in range(2 * (stage + 1))
        )
    return CheckInputs(latents, label, lod, psi, noise)


def _images(discriminator, lod):
    """Draws (images, labels) for a discriminator: noise, of which each pixel is another."""
    image, random = discriminator.config.image, np.random.default_rng(_SEED)
    stage, _ = stage_and_alpha(image, lod)
    images = random.uniform(-1, 1, (_IMAGES, *image.stage_shape(stage), image.channels)).astype(np.float32)
    return images, np.eye(_IMAGES, image.label_dim, dtype=np.float32)
