"""Make pictures with a trained network.

    python -m stylegan_jax.generate --network=runs/quickstart --outdir=out --seeds=0-15
    python -m stylegan_jax.generate --network=stylegan-ffhq-1024x1024.pkl --outdir=out --seeds=3,7,20-25 --psi=0.5
    python -m stylegan_jax.generate --network=runs/flowers --outdir=out --seeds=0-7 --class=rose,tulip
    python -m stylegan_jax.generate --network=toyfaces --outdir=out --recipe='seed:5;coarse=seed:12;psi=0.7'

The outdir gets seedNNNN.png for each seed and grid.png with the first 64 of them. A seed means the same latent as
in the official scripts. A network with classes shows one of them in each picture, in turn by the seed. Where --class
names several, each seed is drawn in all of them, as seedNNNN-classK.png, and grid.png has a row for each class.
"""

import os
import typing

import jax
import numpy as np
import tqdm
from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.cli.network_flags import NetworkFlags, with_meaning
from stylegan_jax.cli.parsing import parse_seeds
from stylegan_jax.errors import UserError, unwritable
from stylegan_jax.runtime import compile_cache
from stylegan_jax.sampling import grid
from stylegan_jax.sampling import sampler as sampling
from stylegan_jax.sampling.latents import latents

flags.declare_key_flag('compilation_cache')
FLAGS = flags.FlagValues()
_NETWORK = NetworkFlags(FLAGS)  # --network, --which, --psi, --class and others
_OUTDIR = flags.DEFINE_string('outdir', None, 'Folder for the pictures; made if missing.', flag_values=FLAGS)
_SEEDS = flags.DEFINE_string(
    'seeds', '0-15', 'Which latents: numbers and ranges, such as 0-15 or 3,7,20-25.', flag_values=FLAGS
)
_NOISE = flags.DEFINE_enum(
    'noise', 'const', sampling.NOISES, 'Noise inputs: the stored ones, fresh for each seed, or none.', flag_values=FLAGS
)
_RECIPE = flags.DEFINE_string(
    'recipe',
    None,
    'In place of --seeds: the text of one picture, such as seed:5;coarse=seed:12;psi=0.7, as the viewer writes it.',
    flag_values=FLAGS,
)
_IN_RECIPE = 'psi', 'class', 'label', 'lod', 'truncate_to', 'seeds', 'noise'  # flags that are parts of a recipe
_MOST_IN_GRID = 64


def main(argv: list[str]) -> None:
    """Makes the pictures that the flags ask for."""
    del argv
    compile_cache.use_cache(compile_cache.CACHE.value)
    if not _OUTDIR.value:
        raise UserError('--outdir is missing; see --help')
    if _RECIPE.value is not None:
        return _draw_recipe()
    seeds = parse_seeds(_SEEDS.value)
    generator, lod = _NETWORK.load()
    labels = _NETWORK.labels(generator)
    wanted, columns, shown = _wanted(seeds, labels)
    try:
        os.makedirs(_OUTDIR.value, exist_ok=True)
        images = _generate(generator, labels, wanted, lod, shown)
        grid.save_png(os.path.join(_OUTDIR.value, 'grid.png'), grid.image_grid(images, columns))
    except OSError as error:
        raise unwritable('outdir', _OUTDIR.value, error) from None
    height, width = images.shape[1:3]
    some = '' if len(images) == len(wanted) else f' of the first {len(images)}'
    if columns < len(images) < len(wanted) and _has_rows(labels):
        some = f' of {len(images) // columns} classes and {columns} seeds'
    print(f'{len(wanted)} pictures of {width}x{height} and grid.png{some} are in {_OUTDIR.value}')
    if _has_rows(labels):
        print(f'grid.png has a row for each class: {labels.listed()}')
    elif line := _NETWORK.about_labels(labels):
        print(line)


def _draw_recipe():
    """Makes the one picture of --recipe."""
    from stylegan_jax.editing.recipe import Recipe
    from stylegan_jax.editing.recipe_painter import RecipePainter

    for name in _IN_RECIPE:
        if FLAGS[name].present:
            is_part = name != 'truncate_to'
            reason = 'a recipe says this by itself' if is_part else 'a recipe goes to the average of its class'
            raise UserError(reason, field=name, value=FLAGS[name].value, remedy='leave it out')
    recipe = Recipe.parse(_RECIPE.value)
    generator, lod = _NETWORK.load(recipe.nimg)
    generator = with_meaning(generator, _NETWORK['network'])
    picture = RecipePainter(generator, lod=lod, precision=_NETWORK['precision']).picture(recipe)
    try:
        os.makedirs(_OUTDIR.value, exist_ok=True)
        grid.save_png(os.path.join(_OUTDIR.value, 'recipe.png'), picture)
    except OSError as error:
        raise unwritable('outdir', _OUTDIR.value, error) from None
    print(f'recipe.png of {picture.shape[1]}x{picture.shape[0]} is in {_OUTDIR.value}')


class _Wanted(typing.NamedTuple):
    """A picture: its seed, the place of its label, and its file."""

    seed: int
    place: int
    name: str


def _has_rows(labels):
    """Whether each class that was asked for is drawn with all seeds."""
    return _NETWORK['class'] is not None and len(labels) > 1


def _wanted(seeds, labels):
    """Returns (list of _Wanted, columns of the grid, places in the list of the pictures that it shows)."""
    if not _has_rows(labels):
        pairs = zip(seeds, labels.places(seeds), strict=True)
        wanted = [_Wanted(seed, int(place), f'seed{seed:04d}.png') for seed, place in pairs]
        shown = range(min(len(wanted), _MOST_IN_GRID))
        return wanted, int(np.ceil(np.sqrt(len(shown)))), shown
    numbers = np.argmax(labels.rows, axis=1)
    wanted = [
        _Wanted(seed, place, f'seed{seed:04d}-class{number}.png')
        for place, number in enumerate(numbers)
        for seed in seeds
    ]
    rows = min(len(labels), _MOST_IN_GRID)
    columns = min(len(seeds), max(1, _MOST_IN_GRID // rows))
    return wanted, columns, [row * len(seeds) + column for row in range(rows) for column in range(columns)]


def _generate(generator, labels, wanted, lod, shown):
    """Makes and saves the pictures; returns those for the grid, uint8 [N, H, W, C]."""
    sampler = sampling.Sampler(
        generator, lod=lod, psi=_NETWORK['psi'], noise=_NOISE.value, count=len(wanted), precision=_NETWORK['precision']
    )

    def arguments(some):
        seeds, places = [one.seed for one in some], [one.place for one in some]
        # Seeds go up to 2**32 - 1, which is beyond signed integers of 32 bits.
        keys = jax.vmap(jax.random.key)(np.array(seeds, np.uint32)) if _NOISE.value == 'random' else None
        # Label number `place` is that of the seed `place`.
        centers = None if _NETWORK['psi'] == 1 else labels.centers(places)
        return latents(seeds, generator.z_dim), labels(places), keys, centers

    batches = [wanted[start : start + sampler.batch] for start in range(0, len(wanted), sampler.batch)]
    pictures, saved, shown = {}, set(), set(shown)
    with (
        tqdm.tqdm(total=len({one.name for one in wanted}), unit='img', disable=None, delay=2) as bar,
        grid.PngWriter(bar.update) as writer,
    ):
        for start, some, images in zip(
            range(0, len(wanted), sampler.batch), batches, sampler.stream(map(arguments, batches))
        ):
            pictures |= {
                place: np.array(images[place - start]) for place in range(start, start + len(some)) if place in shown
            }
            for one, image in zip(some, images):
                if one.name not in saved:  # no two threads may write the same file
                    writer.save(os.path.join(_OUTDIR.value, one.name), image)
                    saved.add(one.name)
    return np.stack([pictures[place] for place in sorted(pictures)])


if __name__ == '__main__':
    command.run(main, FLAGS)
