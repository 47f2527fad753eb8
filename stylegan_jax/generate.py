"""Make pictures with a trained network.

    python -m stylegan_jax.generate --network=runs/quickstart --outdir=out --seeds=0-15
    python -m stylegan_jax.generate --network=stylegan-ffhq-1024x1024.pkl --outdir=out --seeds=3,7,20-25 --psi=0.5

The outdir gets seedNNNN.png for each seed and grid.png with the first 64 of them. A seed means the same latent as
in the official scripts.
"""
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from absl import flags

from stylegan_jax import command
from stylegan_jax.errors import UserError
from stylegan_jax.figures import grid
from stylegan_jax.generator import draw_noise
from stylegan_jax.loading import load

_NETWORK = flags.DEFINE_string('network', None, 'A run directory, an official pickle, or a saved network.')
_OUTDIR = flags.DEFINE_string('outdir', None, 'Folder for the pictures; made if missing.')
_SEEDS = flags.DEFINE_string('seeds', '0-15', 'Which latents: numbers and ranges, such as 0-15 or 3,7,20-25.')
_PSI = flags.DEFINE_float('psi', None, 'Truncation: 1 for the full variety, less for more typical pictures; '
                          'the default is the network\'s own (0.7 for style-based ones).')
_CLASS = flags.DEFINE_integer('class', None, 'Class of a conditional network; the default is no class (zeros).')
_LOD = flags.DEFINE_float('lod', None, 'Level of detail: 0 is full size, each unit halves it; the default is what a '
                          'run has reached, and 0 for other networks.')
_NOISE = flags.DEFINE_enum('noise', 'const', ['const', 'random', 'none'], 'Noise inputs: the stored ones, fresh for '
                           'each seed, or none.')
_WHICH = flags.DEFINE_enum('which', 'ema', ['ema', 'G'], 'The averaged generator, or the one as trained.')
_BATCH_PIXELS = 2 ** 21      # at a time: two images of 1024x1024, sixteen of 256x256 and below
_LARGEST_BATCH = 16
_MOST_SEEDS = 100_000
_MOST_IN_GRID = 64


def main(argv):
    """Makes the pictures that the flags ask for."""
    del argv
    for flag in (_NETWORK, _OUTDIR):
        if not flag.value:
            raise UserError(f'--{flag.name} is missing; see --help')
    for flag in (_PSI, _LOD):
        if flag.value is not None and not np.isfinite(flag.value):
            raise UserError(f'--{flag.name}={flag.value}: give a number')
    seeds = parse_seeds(_SEEDS.value)
    generator = load(_NETWORK.value, _WHICH.value)
    lod = _default_lod(_NETWORK.value) if _LOD.value is None else _LOD.value
    try:
        os.makedirs(_OUTDIR.value, exist_ok=True)
        images = _generate(generator, seeds, lod)
        grid.save_png(os.path.join(_OUTDIR.value, 'grid.png'),
                      grid.image_grid(images, columns=int(np.ceil(np.sqrt(len(images))))))
    except OSError as error:
        raise UserError(f'--outdir={_OUTDIR.value}: cannot be written ({error.strerror}); '
                        'choose another folder') from None
    height, width = images.shape[1:3]
    some = '' if len(images) == len(seeds) else f' of the first {len(images)}'
    print(f'{len(seeds)} pictures of {width}x{height} and grid.png{some} are in {_OUTDIR.value}')


def parse_seeds(text):
    """Returns the seeds that a text such as '0-15' or '3,7,20-25' names.

    Raises:
      UserError: the text has another form, or names no seed.
    """
    seeds = []
    for part in text.split(','):
        match = re.fullmatch(r'\s*(\d+)(?:\s*-\s*(\d+))?\s*', part, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not first <= last < 2 ** 32 or last - first >= _MOST_SEEDS:
            raise UserError(f'--seeds={text}: give numbers below 2^32 and rising ranges of at most {_MOST_SEEDS:,}, '
                            'such as 0-15 or 3,7,20-25')
        seeds += range(first, last + 1)
    return seeds


def latents(seeds, z_dim):
    """Returns the latents [N, Z] of seeds, each drawn as the official scripts do."""
    return np.stack([np.random.RandomState(seed).randn(z_dim) for seed in seeds]).astype(np.float32)


def _generate(generator, seeds, lod):
    """Makes and saves the pictures of seeds; returns those for the grid, uint8 [N, H, W, C]."""
    size = int(np.clip(_BATCH_PIXELS // np.prod(generator.shape[:2]), 1, min(_LARGEST_BATCH, len(seeds))))
    pictures = []
    with tqdm.tqdm(total=len(seeds), unit='img', disable=None, delay=2) as bar:
        for start in range(0, len(seeds), size):
            some = seeds[start:start + size]
            padded = some + some[:1] * (size - len(some))        # one shape, one compilation
            images = np.asarray(_images(generator, padded, lod))[:len(some)]
            for seed, image in zip(some, grid.to_uint8(images)):
                grid.save_png(os.path.join(_OUTDIR.value, f'seed{seed:04d}.png'), image)
                if len(pictures) < _MOST_IN_GRID:
                    pictures.append(image)
            bar.update(len(some))
    return np.stack(pictures)


def _images(generator, seeds, lod):
    z = latents(seeds, generator.z_dim)
    label = None if _CLASS.value is None else np.full(len(seeds), _CLASS.value)
    noise = _NOISE.value
    if noise == 'random':
        stage = generator.config.image.num_stages - 1
        drawn = [draw_noise(generator.config, jax.random.key(seed), 1, stage) for seed in seeds]
        noise = [jnp.concatenate(layer) for layer in zip(*drawn)]
    return generator(z, label, psi=_PSI.value, noise=noise, lod=lod)


def _default_lod(path):
    if not os.path.isdir(path):
        return 0.0
    from stylegan_jax import checkpoint      # Orbax takes a second to import, and files do without it
    return checkpoint.reached_lod(path)


if __name__ == '__main__':
    command.run(main)
