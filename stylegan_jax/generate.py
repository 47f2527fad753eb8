"""Make pictures with a trained network.

    python -m stylegan_jax.generate --network=runs/quickstart --outdir=out --seeds=0-15
    python -m stylegan_jax.generate --network=stylegan-ffhq-1024x1024.pkl --outdir=out --seeds=3,7,20-25 --psi=0.5

The outdir gets seedNNNN.png for each seed and grid.png with the first 64 of them. A seed means the same latent as
in the official scripts.
"""

import os

import jax
import numpy as np
import tqdm
from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.cli.network_flags import NetworkFlags
from stylegan_jax.cli.parsing import parse_seeds
from stylegan_jax.errors import UserError, unwritable
from stylegan_jax.networks.labels import as_label
from stylegan_jax.runtime import compile_cache
from stylegan_jax.sampling import grid
from stylegan_jax.sampling import sampler as sampling
from stylegan_jax.sampling.latents import latents

flags.declare_key_flag('compilation_cache')
FLAGS = flags.FlagValues()
_NETWORK = NetworkFlags(FLAGS)
_OUTDIR = flags.DEFINE_string('outdir', None, 'Folder for the pictures; made if missing.', flag_values=FLAGS)
_SEEDS = flags.DEFINE_string(
    'seeds', '0-15', 'Which latents: numbers and ranges, such as 0-15 or 3,7,20-25.', flag_values=FLAGS
)
_NOISE = flags.DEFINE_enum(
    'noise', 'const', sampling.NOISES, 'Noise inputs: the stored ones, fresh for each seed, or none.', flag_values=FLAGS
)
_MOST_IN_GRID = 64


def main(argv: list[str]) -> None:
    """Makes the pictures that the flags ask for."""
    del argv
    compile_cache.use_cache(compile_cache.CACHE.value)
    if not _OUTDIR.value:
        raise UserError('--outdir is missing; see --help')
    seeds = parse_seeds(_SEEDS.value)
    generator, lod = _NETWORK.load()
    try:
        os.makedirs(_OUTDIR.value, exist_ok=True)
        images = _generate(generator, seeds, lod)
        grid.save_png(
            os.path.join(_OUTDIR.value, 'grid.png'), grid.image_grid(images, columns=int(np.ceil(np.sqrt(len(images)))))
        )
    except OSError as error:
        raise unwritable('outdir', _OUTDIR.value, error) from None
    height, width = images.shape[1:3]
    some = '' if len(images) == len(seeds) else f' of the first {len(images)}'
    print(f'{len(seeds)} pictures of {width}x{height} and grid.png{some} are in {_OUTDIR.value}')


def _generate(generator, seeds, lod):
    """Makes and saves the pictures of seeds; returns those for the grid, uint8 [N, H, W, C]."""
    sampler = sampling.Sampler(
        generator, lod=lod, psi=_NETWORK['psi'], noise=_NOISE.value, count=len(seeds), precision=_NETWORK['precision']
    )
    label = np.asarray(as_label(None if _NETWORK['class'] is None else [_NETWORK['class']], 1, generator.label_dim))

    def arguments(seeds):
        # Seeds go up to 2**32 - 1, which is beyond signed integers of 32 bits.
        keys = jax.vmap(jax.random.key)(np.array(seeds, np.uint32)) if _NOISE.value == 'random' else None
        return latents(seeds, generator.z_dim), np.repeat(label, len(seeds), axis=0), keys

    batches = [seeds[start : start + sampler.batch] for start in range(0, len(seeds), sampler.batch)]
    pictures, saved = [], set()
    with (
        tqdm.tqdm(total=len(set(seeds)), unit='img', disable=None, delay=2) as bar,
        grid.PngWriter(bar.update) as writer,
    ):
        for some, images in zip(batches, sampler.stream(map(arguments, batches))):
            pictures.extend(images[: _MOST_IN_GRID - len(pictures)])
            for seed, image in zip(some, images):
                if seed not in saved:  # no two threads may write the same file
                    writer.save(os.path.join(_OUTDIR.value, f'seed{seed:04d}.png'), image)
                    saved.add(seed)
    return np.stack(pictures)


if __name__ == '__main__':
    command.run(main, FLAGS)
