"""Find the latents that make a given picture.

    python -m stylegan_jax.project --network=runs/quickstart --image=face.png --outdir=projected
    python -m stylegan_jax.project --network=stylegan-ffhq-1024x1024.pkl --image=a.png,b.png --space=w --outdir=out

The outdir gets projection.png (a row for each picture: what it was made to be, and what the latents make), latents.npz
(for `latents --apply` and the library), while it goes on current.png, and with --video the optimisation as
optimisation.webp.

Pictures are cropped to the centre of the network's aspect ratio and reduced to its size; nothing is enlarged, and what
was done is printed. Nothing is aligned: networks that were trained on aligned pictures, as the official ones of FFHQ
and CelebA-HQ were, need faces that are aligned in the same way (eyes and mouth in their places) beforehand.

Pictures are compared by LPIPS where the weights of VGG16 are found (see evaluate --download), else by features of the
discriminator in the same file or run, and by pixels at all sizes.
"""

import os
import pathlib

import jax
import numpy as np
import PIL.Image
import tqdm
from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.cli.network_flags import NetworkFlags
from stylegan_jax.data import fitting, pixels
from stylegan_jax.data.sources.pictures import decode
from stylegan_jax.errors import UserError
from stylegan_jax.runtime import compile_cache
from stylegan_jax.sampling import grid
from stylegan_jax.storage.loading import load

flags.declare_key_flag('compilation_cache')
FLAGS = flags.FlagValues()
_NETWORK = NetworkFlags(FLAGS, ('network', 'which', 'lod'))
_IMAGE = flags.DEFINE_list('image', None, 'Pictures (PNG, JPEG, WebP), with commas between them.', flag_values=FLAGS)
_OUTDIR = flags.DEFINE_string('outdir', None, 'Folder for what is found; made if missing.', flag_values=FLAGS)
_SPACE = flags.DEFINE_enum(
    'space',
    'w+',
    ['w', 'w+'],
    'One w for all layers (w: nearer to what the network would make '
    'by itself), or one for each (w+: nearer to the picture).',
    flag_values=FLAGS,
)
_NOISE = flags.DEFINE_enum(
    'noise',
    None,
    ['optimize', 'const', 'none'],
    'Noise inputs: optimised as well, the stored '
    'ones, or none; the default is optimize, and none where the network has no noise inputs.',
    flag_values=FLAGS,
)
_STEPS = flags.DEFINE_integer('steps', 300, 'Of the optimiser.', lower_bound=1, flag_values=FLAGS)
_RATE = flags.DEFINE_float(
    'rate', 0.1, 'Learning rate, in standard deviations of W.', lower_bound=0.0, flag_values=FLAGS
)
_RESTARTS = flags.DEFINE_integer(
    'restarts',
    4,
    'Starts for each picture: the mean of W, and the samples that are most like the picture.',
    lower_bound=1,
    flag_values=FLAGS,
)
_CANDIDATES = flags.DEFINE_integer(
    'candidates', 1000, 'Samples that are looked at for that.', lower_bound=1, flag_values=FLAGS
)
_SEED = flags.DEFINE_integer('seed', 0, 'Of everything random.', lower_bound=0, flag_values=FLAGS)
_BATCH = flags.DEFINE_integer(
    'batch', None, 'Pictures at a time; the default suits their size.', lower_bound=1, flag_values=FLAGS
)
_VGG = flags.DEFINE_string(
    'vgg',
    None,
    'File of the weights of VGG16, for LPIPS; the default is the one in the cache, '
    'if there is one; none does without LPIPS.',
    flag_values=FLAGS,
)
_GREY = flags.DEFINE_bool('allow_grey', False, 'Take grey pictures for a network of colours.', flag_values=FLAGS)
_VIDEO = flags.DEFINE_bool('video', False, 'Write optimisation.webp.', flag_values=FLAGS)
_PIXELS_AT_ONCE = 2**22  # of all restarts
_EVERY = 10  # steps between looks
_CURRENT_EVERY = 5  # looks
_SMALLEST_CELL = 128  # pixels; smaller images are shown with larger pixels
_FRAME = 80  # milliseconds
_FRAMES_BYTES = 2**30  # of pictures in a video, which then ends earlier
_LONGEST_VIDEO = 16383  # pixels of a side, in WebP
_GREY_MODES = '1', 'L', 'LA', 'La', 'I', 'F'


def main(argv):
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
            f'--network={_NETWORK["network"]}: a Progressive GAN generator has no intermediate latents w to '
            'find; give a StyleGAN'
        )
    targets = _targets(generator, lod)
    height = side_by_side(targets, targets).shape[0]
    if _VIDEO.value and height > _LONGEST_VIDEO:
        raise UserError(
            f'--video: {len(targets)} pictures make frames {height} pixels high, and WebP has '
            f'{_LONGEST_VIDEO} at most; project fewer at a time'
        )
    if generator.label_dim:
        print('this network has labels: w are searched near those of no class')
    try:
        os.makedirs(_OUTDIR.value, exist_ok=True)
        _project(generator, targets, lod)
    except OSError as error:
        raise UserError(
            f'--outdir={_OUTDIR.value}: cannot be written ({error.strerror}); choose another folder'
        ) from None


def read_target(path, shape, *, allow_grey=False):
    """Reads a picture and makes it a target.

    Args:
      path: of the picture.
      shape: (H, W, C) of what the network makes.
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
                f'{path}: the picture is grey, and the network makes colours; give a picture in colours, '
                'or --allow_grey'
            )
        fitted = pixels.to_uint8(fitting.fitted(picture, shape, fit='crop', resize_filter='box'))
        placement = fitting.placement(picture.height, picture.width, shape, 'crop')
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror}); give a PNG, JPEG or WebP file') from None
    except fitting.Unusable as error:
        raise UserError(f'{path}: {error}; give another picture') from None
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
    """Returns uint8 [N, H, W, C], and says what was done."""
    from stylegan_jax.config.network import stage_and_alpha

    image = generator.config.image
    shape = (*image.stage_shape(stage_and_alpha(image, lod)[0]), image.channels)
    if image.channels not in (1, 3, 4):
        raise UserError(f'--network={_NETWORK["network"]}: it makes {image.channels} channels; pictures have 1, 3 or 4')
    targets = []
    for path in _IMAGE.value:
        target, done = read_target(path, shape, allow_grey=_GREY.value)
        print(f'{path}: {done}')
        targets.append(target)
    return np.stack(targets)


def _project(generator, targets, lod):
    """Projects batch after batch, and writes what is found."""
    from stylegan_jax.editing import latent_file, projection

    discriminator, lpips, compared = _judges(targets.shape)
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
    found = []
    with _Watcher(targets, options.steps) as watcher:
        for first in range(0, len(targets), size):
            some = slice(first, first + size)
            found.append(
                projection.project(
                    generator,
                    targets[some],
                    discriminator=discriminator,
                    lpips=lpips,
                    options=options,
                    lod=lod,
                    every=_EVERY,
                    report=watcher.batch(first),
                )
            )
    found = jax.tree.map(lambda *parts: np.concatenate(parts), *found)
    names = tuple(os.path.basename(path) for path in _IMAGE.value)
    latents = latent_file.Latents(found.ws, names, found.noise if noise == 'optimize' else noise, lod)
    latents.save(os.path.join(_OUTDIR.value, 'latents.npz'))
    grid.save_png(os.path.join(_OUTDIR.value, 'projection.png'), side_by_side(targets, found.images))
    watcher.finish()
    for name, psnr, distance in zip(names, found.psnr, found.distance):
        print(f'{name}: PSNR {psnr:.2f} dB, distance {distance:.4g}')
    print(f'projection.png and latents.npz are in {_OUTDIR.value}')


def side_by_side(targets, images):
    """Lays out targets and images, uint8 [N, H, W, C], in two columns, small ones enlarged."""
    pairs = np.stack([targets, images], axis=1).reshape(-1, *targets.shape[1:])
    return grid.enlarge(grid.image_grid(pairs, 2), max(1, _SMALLEST_CELL // targets.shape[1]))


def _judges(shape):
    """Returns (Discriminator or None, LPIPS or None, in words what they are)."""
    from stylegan_jax.editing.distance import LPIPS_LEAST
    from stylegan_jax.feature_networks import catalogue
    from stylegan_jax.feature_networks.lpips import LPIPS
    from stylegan_jax.feature_networks.weight_files import read_arrays

    reason = 'left out by --vgg=none'
    if _VGG.value != 'none':
        try:
            path = catalogue.find('vgg16', _VGG.value)
            if min(shape[1:3]) >= LPIPS_LEAST and shape[3] != 4:
                lpips = LPIPS.from_arrays(read_arrays(path), where=path)
                return None, lpips, f'LPIPS ({path}), and pixels at all sizes'
            reason = f'the images have fewer than {LPIPS_LEAST} pixels, or are transparent'
        except UserError:
            if _VGG.value is not None:
                raise
            reason = 'no weights of VGG16 are there'
    try:
        discriminator = load(_NETWORK['network'], 'D')
    except UserError:
        return None, None, f'pixels at all sizes (no LPIPS: {reason}; no discriminator in {_NETWORK["network"]})'
    return discriminator, None, f'features of the discriminator, and pixels at all sizes (no LPIPS: {reason})'


class _Watcher:
    """Context that shows how far the optimisation is: a bar, current.png, and the frames of the video."""

    def __init__(self, targets, steps):
        self._targets, self._images, self._steps = targets, np.zeros_like(targets), steps
        self._frames, self._looks = [], 0
        self._bar = tqdm.tqdm(total=steps * len(targets), unit='step', disable=None)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._bar.close()

    def batch(self, first):
        """Returns what `projection.project` reports to, for the targets from `first` on."""

        def report(step, found):
            some = slice(first, first + len(found.images))
            self._images[some] = found.images
            self._bar.set_postfix(
                distance=f'{found.distance.mean():.4f}', psnr=f'{found.psnr.mean():.1f} dB', refresh=False
            )
            self._bar.update((first * self._steps + step * len(found.images)) - self._bar.n)
            if _VIDEO.value and len(self._frames) * self._targets.nbytes < _FRAMES_BYTES:
                self._frames.append(side_by_side(self._targets, self._images))
            if self._looks % _CURRENT_EVERY == 0:
                grid.save_png(self._path('current.png'), side_by_side(self._targets, self._images))
            self._looks += 1

        return report

    def finish(self):
        """Writes the video, and removes what showed the way."""
        if self._frames:
            from stylegan_jax.runtime import atomic

            first, *others = [PIL.Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x) for x in self._frames]
            with atomic.writing(self._path('optimisation.webp'), 'wb') as file:
                first.save(
                    file, format='WEBP', save_all=True, append_images=others, duration=_FRAME, loop=0, lossless=True
                )
        os.unlink(self._path('current.png'))

    def _path(self, name):
        return os.path.join(_OUTDIR.value, name)


if __name__ == '__main__':
    command.run(main, FLAGS)
