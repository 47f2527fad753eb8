"""Make the figures of the paper with a network.

    python -m stylegan_jax.figures --network=stylegan-ffhq-1024x1024.pkl --outdir=figures
    python -m stylegan_jax.figures --network=runs/quickstart --outdir=figures --figure=style-mixing,truncation

uncurated (Figures 2, 10, 11, 12), style-mixing (3), noise-detail (4), noise-components (5), truncation (8), and
style-table (which layers belong to which resolution, and what their styles change). Seeds, layers, crops and psi are
the paper's unless flags say otherwise; for images of other sizes, layers and crops are the same share of the whole.
"""

import dataclasses
import math
import os

import tqdm
from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.cli.network_flags import NetworkFlags
from stylegan_jax.cli.parsing import LARGEST_SEED, parse_seeds
from stylegan_jax.errors import UserError, unwritable
from stylegan_jax.figures import catalogue
from stylegan_jax.figures import settings as figure_settings
from stylegan_jax.figures.look import Look
from stylegan_jax.runtime import compile_cache
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.painter import Painter

flags.declare_key_flag('compilation_cache')
FLAGS = flags.FlagValues()
_NETWORK = NetworkFlags(FLAGS)
_SEEDS = 'sources', 'destinations', 'detail_seeds', 'component_seeds', 'truncation_seeds', 'table_seeds'
_LARGEST_SCALE, _LARGEST_GUTTER = 64, 1024
_MOST_HALVINGS = 10
_EXAMPLES = {
    'lods': '0,1,2,2,3,3',
    'psis': '1,0.7,0.5,0,-0.5,-1',
    'crop': '0,64,512,448',
    'detail_crop': '650,180,906,436',
}


def _define(name, text, kind=flags.DEFINE_string, default=None, **more):
    return kind(name, default, text, flag_values=FLAGS, **more)


_OUTDIR = _define('outdir', 'Folder for the figures; made if missing.')
_FIGURE = _define('figure', 'all, or names with commas: ' + ', '.join(catalogue.FIGURES) + '.', default='all')
_PAPER = flags.DEFINE_enum(
    'paper',
    'auto',
    ['auto', *figure_settings.PAPER, 'none'],
    'Whose seeds, rows and crops; auto knows the official files by name and size.',
    flag_values=FLAGS,
)
_CAPTIONS = _define('captions', 'Whether anything is written in the figures.', flags.DEFINE_bool, True)
_GUTTER = _define(
    'gutter',
    'White pixels between images; the default suits their size.',
    flags.DEFINE_integer,
    lower_bound=0,
    upper_bound=_LARGEST_GUTTER,
)
_SCALE = _define(
    'scale',
    'By how much images are enlarged; the default enlarges small ones only.',
    flags.DEFINE_integer,
    lower_bound=1,
    upper_bound=_LARGEST_SCALE,
)
_define('seed', 'uncurated: the seed of all images.', flags.DEFINE_integer, lower_bound=0, upper_bound=LARGEST_SEED)
_define(
    'rows', 'uncurated: images in a column of the largest size.', flags.DEFINE_integer, lower_bound=1, upper_bound=64
)
_define('lods', 'uncurated: how often the images of each column are halved, such as 0,1,2,2,3,3.')
_define('crop', 'uncurated: the part of images that is shown, left,top,right,bottom.')
_define('sources', 'style-mixing: seeds of the columns.')
_define('destinations', 'style-mixing: seeds of the rows.')
_define('ranges', 'style-mixing: what each row takes from the sources: coarse, middle, fine, or layers such as 0-3.')
_define('detail_seeds', 'noise-detail: seeds of the rows.')
_define('detail_crop', 'noise-detail: the part that is zoomed, left,top,right,bottom.')
_define(
    'samples',
    'noise-detail: noises that the standard deviation is taken over.',
    flags.DEFINE_integer,
    lower_bound=1,
    upper_bound=100_000,
)
_define('component_seeds', 'noise-components: seeds of the rows.')
_define('truncation_seeds', 'truncation: seeds of the rows.')
_define('psis', 'truncation: psi of each column.')
_define('table_seeds', 'style-table: the seed that gets styles, and those that they come from.')


def main(argv: list[str]) -> None:
    """Makes the figures that the flags ask for."""
    del argv
    compile_cache.use_cache(compile_cache.CACHE.value)
    if not _OUTDIR.value:
        raise UserError('--outdir is missing; see --help')
    given = {
        field.name: _given(field.name)
        for field in dataclasses.fields(figure_settings.Settings)
        if FLAGS[field.name].value is not None
    }
    generator, lod = _NETWORK.load()
    labels = _NETWORK.labels(generator)
    names, absent = catalogue.asked_for(_FIGURE.value, generator.config)
    for name, why in absent.items():
        print(f'no {name}: {why}')
    look = Look(_CAPTIONS.value, _GUTTER.value, _SCALE.value)
    with tqdm.tqdm(unit='img', disable=None, delay=2) as bar:
        artist = Painter(generator, label=labels, lod=lod, precision=_NETWORK['precision'], drawn=bar.update)
        settings = figure_settings.chosen(generator.config.image, artist.stage, _NETWORK['network'], _PAPER.value)
        settings = dataclasses.replace(settings, **given)
        _written(os.makedirs, _OUTDIR.value, exist_ok=True)
        bar.total = sum(catalogue.FIGURES[name].num_images(artist, settings) for name in names)
        for name in names:
            bar.set_description(name)
            figure = catalogue.FIGURES[name].draw(artist, settings, look, _NETWORK['psi'])
            path = os.path.join(_OUTDIR.value, f'{name}.png')
            _written(grid.save_png, path, figure.picture)
            height, width = figure.picture.shape[:2]
            bar.write(f'{path}: {width}x{height}')
    if line := _NETWORK.about_labels(labels):
        print(line)


def _given(name):
    """Returns the value of a setting's flag, in the form that the setting has."""
    value = FLAGS[name].value
    if not isinstance(value, str):
        return value
    if name in _SEEDS:
        return tuple(parse_seeds(value, name))
    if name == 'ranges':
        return tuple(part.strip() for part in value.split(','))
    try:
        numbers = tuple((float if name == 'psis' else int)(part) for part in value.split(','))
    except ValueError:
        numbers = (math.nan,)
    wrong = (
        not all(map(math.isfinite, numbers))
        or (name.endswith('crop') and len(numbers) != 4)
        or (name == 'lods' and not all(0 <= number <= _MOST_HALVINGS for number in numbers))
    )
    if wrong:
        raise UserError(f'give numbers with commas, such as {_EXAMPLES[name]}', field=name, value=value)
    return numbers


def _written(write, *arguments, **options):
    try:
        write(*arguments, **options)
    except OSError as error:
        raise unwritable('outdir', _OUTDIR.value, error) from None


if __name__ == '__main__':
    command.run(main, FLAGS)
