"""Find the latents that make a given picture.

    python -m stylegan_jax.project --network=runs/quickstart --image=face.png --outdir=projected
    python -m stylegan_jax.project --network=stylegan-ffhq-1024x1024.pkl --image=a.png,b.png --space=w --outdir=out

The outdir gets projection.png (a row for each picture: the picture at the network's size, and the image that the
latents make), latents.npz (for `latents --apply` and the library), and with --video the optimisation as
optimisation.webp. current.png shows the progress, and is removed at the end.

Pictures are cropped to the centre at the network's aspect ratio and reduced to its size. Nothing is enlarged, and the
command prints what it did to each picture. Nothing is aligned: networks that were trained on aligned pictures, as the
official ones of FFHQ and CelebA-HQ were, need faces that are aligned in the same way (eyes and mouth at the same
places) beforehand.

Pictures are compared by LPIPS where the weights of VGG16 are found (see evaluate --download), else by features of the
discriminator in the same file or run; and by pixels at all sizes in any case.
"""

import collections.abc
import os
import pathlib
import time

import jax
import numpy as np
import PIL.Image
import tqdm
from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.cli.network_flags import NetworkFlags
from stylegan_jax.cli.parsing import LARGEST_SEED
from stylegan_jax.data import fitting, pixels
from stylegan_jax.data.sources.pictures import decode
from stylegan_jax.errors import UserError, unwritable
from stylegan_jax.runtime import compile_cache, progress
from stylegan_jax.sampling import grid
from stylegan_jax.storage.loading import load

flags.declare_key_flag('compilation_cache')
FLAGS = flags.FlagValues()
_NETWORK = NetworkFlags(FLAGS, ('network', 'which', 'class', 'label', 'lod'))
_IMAGE = flags.DEFINE_list(
    'image',
    None,
    'Files of the pictures (PNG, JPEG, WebP, TIFF and others), with commas between them.',
    flag_values=FLAGS,
)
_OUTDIR = flags.DEFINE_string('outdir', None, 'Folder for the results; it is made if missing.', flag_values=FLAGS)
_SPACE = flags.DEFINE_enum(
    'space',
    'w+',
    ['w', 'w+'],
    'w finds one latent for all layers, which keeps the image like those that the network makes by itself; '
    'w+ finds one for each layer, which brings the image nearer to the picture.',
    flag_values=FLAGS,
)
_NOISE = flags.DEFINE_enum(
    'noise',
    None,
    ['optimize', 'const', 'none'],
    'Noise inputs: optimize finds them as well, const takes the stored ones, none uses none. The default is optimize, '
    'and none where the network has no noise inputs.',
    flag_values=FLAGS,
)
_STEPS = flags.DEFINE_integer('steps', 300, 'Number of steps of the optimiser.', lower_bound=1, flag_values=FLAGS)
_RATE = flags.DEFINE_float(
    'rate', 0.1, 'Highest learning rate, in standard deviations of W a step.', lower_bound=0.0, flag_values=FLAGS
)
_RESTARTS = flags.DEFINE_integer(
    'restarts',
    4,
    'Number of starts for each picture: the mean of W, and the random samples that look most like the picture.',
    lower_bound=1,
    flag_values=FLAGS,
)
_CANDIDATES = flags.DEFINE_integer(
    'candidates',
    1000,
    'Number of random samples that --restarts chooses the starts from.',
    lower_bound=1,
    flag_values=FLAGS,
)
_SEED = flags.DEFINE_integer(
    'seed',
    0,
    'Seed of everything random: the samples, and the jitter of the optimiser.',
    lower_bound=0,
    upper_bound=LARGEST_SEED,
    flag_values=FLAGS,
)
_BATCH = flags.DEFINE_integer(
    'batch',
    None,
    'Number of pictures that are projected at a time; the default suits their size.',
    lower_bound=1,
    flag_values=FLAGS,
)
_VGG = flags.DEFINE_string(
    'vgg',
    None,
    'File of the weights of VGG16, for LPIPS. The default is the one in the cache, if it is there; --vgg=none does '
    'without LPIPS.',
    flag_values=FLAGS,
)
_GREY = flags.DEFINE_bool(
    'allow_grey', False, 'Accept grey pictures for a network that makes colours.', flag_values=FLAGS
)
_VIDEO = flags.DEFINE_bool('video', False, 'Write the optimisation as a film, optimisation.webp.', flag_values=FLAGS)
_PIXELS_AT_ONCE = 2**22  # in a batch, all restarts together
_EVERY = 10  # steps between reports, each of which is a frame of the video
_CURRENT_EVERY = 5  # reports between two writes of current.png
_SMALLEST_CELL = 128  # pixels; smaller images are shown with larger pixels
_BEGINNING = 'choosing the starts, and compiling'
_BEAT = 10.0  # seconds between two lines about the progress, where there is no terminal
_FRAME = 80  # milliseconds that a frame of the video is shown
_FRAMES_BYTES = 2**30  # that the frames of a video take at most; of more, it shows every second or third one, and so on
_LONGEST_VIDEO = 16383  # pixels of a side, the limit of WebP
_GREY_MODES = '1', 'L', 'LA', 'La', 'I', 'F'  # modes of Pillow, some with a suffix such as 'I;16'


def main(argv: list[str]) -> None:
    """Projects the pictures that the flags name."""
    del argv
    _NETWORK.check()
    for flag in (_IMAGE, _OUTDIR):
        if not flag.value:
            raise UserError(f'--{flag.name} is missing; see --help')
    compile_cache.use_cache(compile_cache.CACHE.value)
    generator, lod = _NETWORK.load()
    if generator.config.is_progan:
        raise UserError(
            'a Progressive GAN generator has no intermediate latents w to find',
            field='network',
            value=_NETWORK['network'],
            remedy='give a StyleGAN',
        )
    targets = _targets(generator, lod)
    height = side_by_side(targets, targets).shape[0]
    if _VIDEO.value and height > _LONGEST_VIDEO:
        raise UserError(
            f'{len(targets)} pictures make frames {height} pixels high, and WebP has {_LONGEST_VIDEO} at most',
            field='video',
            remedy='project fewer at a time',
        )
    labels = _NETWORK.labels(generator)
    if generator.label_dim:
        print(f'this network has labels: latents w are searched near those of {labels.listed() or "no class"}')
    try:
        os.makedirs(_OUTDIR.value, exist_ok=True)
        _project(generator, targets, labels, lod)
    except OSError as error:
        raise unwritable('outdir', _OUTDIR.value, error) from None


def read_target(
    path: str | os.PathLike, shape: tuple[int, int, int], *, allow_grey: bool = False
) -> tuple[np.ndarray, str]:
    """Reads a picture and fits it to the size of the network's images.

    Args:
      path: of the picture.
      shape: (H, W, C) of the network's images.
      allow_grey: whether a grey picture will do for a network of colours.

    Returns:
      (uint8 [H, W, C], what was done to the picture, in words).

    Raises:
      UserError: the picture cannot be read, is too small, or is grey.
    """
    try:
        picture = decode(pathlib.Path(path).expanduser().read_bytes())
        if shape[2] >= 3 and not allow_grey and picture.mode.startswith(_GREY_MODES):
            raise UserError(
                f'{path}: the picture is grey, and the network makes colours',
                remedy='give a picture in colours, or --allow_grey',
            )
        fitted = pixels.to_uint8(fitting.fitted(picture, shape, fit='crop', resize_filter='box'))
        placement = fitting.placement(picture.height, picture.width, shape, 'crop')
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror})', remedy='give a file of a picture') from None
    except fitting.Unusable as error:
        raise UserError(f'{path}: {error}', remedy='give another picture') from None
    left, top, right, bottom = placement.box
    done = [f'{picture.width}x{picture.height}']
    if (right - left, bottom - top) != picture.size:
        done.append(f'cropped to the central {right - left}x{bottom - top}')
    if (bottom - top, right - left) != shape[:2]:
        done.append(f'reduced to {shape[1]}x{shape[0]}')
    if picture.has_transparency_data and shape[2] != 4:
        done.append('put on white where it is transparent')
    if shape[2] == 1 and not picture.mode.startswith(_GREY_MODES):
        done.append('made grey')
    return fitted, ', '.join(done)


def _targets(generator, lod):
    """Returns the targets, uint8 [N, H, W, C], and prints what was done to each picture."""
    from stylegan_jax.config.network import stage_and_alpha

    image = generator.config.image
    shape = (*image.stage_shape(stage_and_alpha(image, lod)[0]), image.channels)
    if image.channels not in (1, 3, 4):
        raise UserError(
            f'it makes {image.channels} channels; pictures have 1, 3 or 4', field='network', value=_NETWORK['network']
        )
    targets = []
    for path in _IMAGE.value:
        target, done = read_target(path, shape, allow_grey=_GREY.value)
        print(f'{path}: {done}')
        targets.append(target)
    return np.stack(targets)


def _project(generator, targets, labels, lod):
    """Projects batch after batch, and writes the results."""
    from stylegan_jax.editing import latent_file, projection

    discriminator, lpips, compared = _comparison(targets.shape)
    noise = _NOISE.value or ('optimize' if generator.config.use_noise else 'none')
    options = projection.Options(
        space=_SPACE.value,
        noise=noise,
        steps=_STEPS.value,
        rate=_RATE.value,
        restarts=_RESTARTS.value,
        candidates=max(_CANDIDATES.value, _RESTARTS.value - 1),
        seed=_SEED.value,
    )
    if generator.num_ws == 1:
        print('this network has one w for all layers: w+ is w')
    print(f'compared by {compared}; noise inputs: {noise if generator.config.use_noise else "the network has none"}')
    pixels_each = targets.shape[1] * targets.shape[2] * options.restarts
    size = _BATCH.value or max(1, _PIXELS_AT_ONCE // pixels_each)
    names = tuple(os.path.basename(path) for path in _IMAGE.value)
    parts = []
    with _Watcher(targets, options.steps, size) as watcher:
        for first in range(0, len(targets), size):
            part = projection.project(
                generator,
                targets[first : first + size],
                discriminator=discriminator,
                lpips=lpips,
                options=options,
                label=labels,
                lod=lod,
                every=_EVERY,
                report=watcher.batch(first),
            )
            parts.append(part)
            # What was found until now is written at once: a batch may take long, and whatever ends the next one.
            found = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
            some = names[: len(found.ws)]
            latents = latent_file.Latents(found.ws, some, found.noise if noise == 'optimize' else noise, lod)
            latents.save(os.path.join(_OUTDIR.value, 'latents.npz'))
            pictures = side_by_side(targets[: len(some)], found.images)
            grid.save_png(os.path.join(_OUTDIR.value, 'projection.png'), pictures)
    watcher.finish()
    for name, psnr, distance in zip(names, found.psnr, found.distance):
        print(f'{name}: PSNR {psnr:.2f} dB, distance {distance:.4g}')
    print(f'projection.png and latents.npz are in {_OUTDIR.value}')


def side_by_side(targets: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Lays out targets (left column) and images (right column), both uint8 [N, H, W, C]; small ones are enlarged."""
    pairs = np.stack([targets, images], axis=1).reshape(-1, *targets.shape[1:])
    return grid.enlarge(grid.image_grid(pairs, 2), max(1, _SMALLEST_CELL // targets.shape[1]))


def _comparison(shape):
    """Chooses how images of shape [N, H, W, C] are compared; see `comparison.choose`."""
    from stylegan_jax.editing import comparison

    network, is_out = _NETWORK['network'], _VGG.value == 'none'

    def discriminator():
        return load(network, 'D')

    return comparison.choose(
        shape, discriminator, where=network, vgg=_VGG.value, left_out='left out by --vgg=none' if is_out else None
    )


class _Watcher:
    """Context that shows the progress of the optimisation: a bar, current.png, and the frames of the video."""

    def __init__(self, targets: np.ndarray, steps: int, size: int):
        """Starts with black images.

        Args:
          targets: all targets, uint8 [N, H, W, C].
          steps: steps of the optimiser for each batch.
          size: targets in a batch.
        """
        self._targets, self._images, self._steps = targets, np.zeros_like(targets), steps
        self._frames, self._reports = [], 0
        self._stride = self._reports_a_frame(size) if _VIDEO.value else None
        self._bar = tqdm.tqdm(total=steps * len(targets), unit='step', desc=_BEGINNING, disable=None)
        # Choosing the starts and compiling take half a minute without any report.
        self._heartbeat = progress.Heartbeat(self._beat, _BEAT if self._bar.disable else 1.0)
        self._began, self._words = time.monotonic(), _BEGINNING

    def _reports_a_frame(self, size):
        reports = -(-len(self._targets) // size) * (self._steps // _EVERY + 1)
        return max(1, -(-reports * side_by_side(self._targets, self._images).nbytes // _FRAMES_BYTES))

    def __enter__(self):
        self._heartbeat.__enter__()
        return self

    def __exit__(self, *error):
        self._heartbeat.__exit__(*error)
        self._bar.close()

    def _beat(self):
        if self._bar.disable:
            print(f'{self._words} ({progress.duration(time.monotonic() - self._began)})', flush=True)
        else:
            self._bar.refresh()  # the seconds so far

    def batch(self, first: int) -> collections.abc.Callable[..., None]:
        """Returns the function that `projection.project` reports to, for the batch of targets from `first` on."""

        def report(step, found):
            some = slice(first, first + len(found.images))
            self._images[some] = found.images
            done, total = first * self._steps + step * len(found.images), self._bar.total
            self._words = f'{done} of {total} steps, distance {found.distance.mean():.4f}, {found.psnr.mean():.1f} dB'
            self._bar.set_description('projecting', refresh=False)
            self._bar.set_postfix(
                distance=f'{found.distance.mean():.4f}', psnr=f'{found.psnr.mean():.1f} dB', refresh=False
            )
            self._bar.update(done - self._bar.n)
            if self._stride and (self._reports % self._stride == 0 or done == total):
                self._frames.append(side_by_side(self._targets, self._images))
            if self._reports % _CURRENT_EVERY == 0:
                grid.save_png(self._path('current.png'), side_by_side(self._targets, self._images))
            self._reports += 1

        return report

    def finish(self) -> None:
        """Writes the video, and removes current.png."""
        if self._frames:
            from stylegan_jax.runtime import atomic

            first, *others = [PIL.Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x) for x in self._frames]
            with atomic.writing(self._path('optimisation.webp'), 'wb') as file:
                first.save(
                    file,
                    format='WEBP',
                    save_all=True,
                    append_images=others,
                    duration=_FRAME * self._stride,
                    loop=0,
                    lossless=True,
                )
        os.unlink(self._path('current.png'))

    def _path(self, name):
        return os.path.join(_OUTDIR.value, name)


if __name__ == '__main__':
    command.run(main, FLAGS)
