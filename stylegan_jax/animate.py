"""Make films with a network.

    python -m stylegan_jax.animate --network=runs/quickstart --out=walk.mp4 --seeds=0-7
    python -m stylegan_jax.animate --network=stylegan-ffhq-1024x1024.pkl --out=six.mp4 --space=w --seeds=0-23 --grid=3x2
    python -m stylegan_jax.animate --network=runs/quickstart --out=noise.webp --kind=noise --seeds=3,7
    python -m stylegan_jax.animate --network=runs/quickstart --out=sticking.webp --kind=sticking --seeds=0-3
    python -m stylegan_jax.animate --kind=training --run=runs/quickstart --out=training.mp4

walk goes from seed to seed and back; mixing lets the coarse, middle or fine styles alone do that, a column each;
truncation goes through psi; noise turns the noise inputs; sticking is a walk with a column of pixels over time beside
it, in which textures that stick are stripes; training shows the sample grids of a run. All but the last one end where
they began. The suffix of --out decides: .mp4 needs `pip install -e '.[video]'`, .webp and .gif nothing.
"""

import math
import re

import numpy as np
import tqdm
from absl import flags

from stylegan_jax.animation import film, paths, scenes, training
from stylegan_jax.cli import command
from stylegan_jax.cli.network_flags import NetworkFlags
from stylegan_jax.cli.parsing import parse_seeds
from stylegan_jax.errors import UserError
from stylegan_jax.runtime import compile_cache
from stylegan_jax.sampling.painter import Painter

flags.declare_key_flag('compilation_cache')
FLAGS = flags.FlagValues()
_NETWORK = NetworkFlags(FLAGS)
_KIND = flags.DEFINE_enum(
    'kind',
    'walk',
    ['walk', 'mixing', 'truncation', 'noise', 'sticking', 'training'],
    "What moves. For mixing the default of --psi is 1, as in the paper's figure.",
    flag_values=FLAGS,
)
_OUT = flags.DEFINE_string('out', None, 'The film, such as walk.mp4, walk.webp or walk.gif.', flag_values=FLAGS)
_SEEDS = flags.DEFINE_string(
    'seeds',
    '0-7',
    'walk, sticking, mixing: the latents that are passed, two at least. truncation, noise: those that are shown.',
    flag_values=FLAGS,
)
_GRID = flags.DEFINE_string(
    'grid', None, 'walk: COLUMNSxROWS walks at a time, whose seeds follow one another in --seeds.', flag_values=FLAGS
)
_SPACE = flags.DEFINE_enum('space', 'z', ['z', 'w'], 'walk, sticking: between latents z, or w.', flag_values=FLAGS)
_PATH = flags.DEFINE_enum(
    'path',
    None,
    paths.KINDS,
    'walk, sticking: along great circles (only in z, where it is the default), a spline (the default in w), or '
    'straight lines.',
    flag_values=FLAGS,
)
_COLUMN = flags.DEFINE_integer(
    'column', None, 'sticking: the column, from the left [pixels]; the default is the middle one.', flag_values=FLAGS
)
_DESTINATIONS = flags.DEFINE_string(
    'destinations', '888,829', 'mixing: the latents whose other styles stay, a row each.', flag_values=FLAGS
)
_PSIS = flags.DEFINE_string('psis', '1,-1', 'truncation: psi at the start, and at the turn.', flag_values=FLAGS)
_RUN = flags.DEFINE_string('run', None, 'training: the folder of the run.', flag_values=FLAGS)
_SECONDS = flags.DEFINE_float(
    'seconds',
    None,
    'How long; the default is two seconds a seed for walk, sticking and mixing, and eight else.',
    flag_values=FLAGS,
)
_FPS = flags.DEFINE_float('fps', None, 'Frames a second; the default is 30, and 4 for training.', flag_values=FLAGS)
_LARGEST_FPS, _MOST_FRAMES = 240, 100_000
_SECONDS_A_SEED, _SECONDS_ELSE = 2, 8
_HOLD = 2  # seconds that the last picture of a training stays
_MOST_PLACES = 64  # of a grid


def main(argv: list[str]) -> None:
    """Makes the film that the flags ask for."""
    del argv
    compile_cache.use_cache(compile_cache.CACHE.value)
    if not _OUT.value:
        raise UserError('--out is missing; see --help')
    film.check(_OUT.value)
    for flag, most in ((_FPS, _LARGEST_FPS), (_SECONDS, math.inf)):
        if (flag.value is not None and not 0 < flag.value <= most) or flag.value == math.inf:
            raise UserError(
                'give a number above 0' + (f', at most {most}' if most < math.inf else ''),
                field=flag.name,
                value=flag.value,
            )
    if _KIND.value == 'training':
        _film_of_training()
    else:
        _film_of_network()


def _film_of_training():
    if not _RUN.value:
        raise UserError('--run is missing: the folder whose fakes*.png are shown')
    if _SECONDS.value:
        raise UserError('a training is as long as it has pictures', field='seconds', remedy='give fps=NUMBER')
    found, fps = training.pictures(_RUN.value), _FPS.value or 4
    hold = round(_HOLD * fps)
    with tqdm.tqdm(training.frames(found, hold), total=len(found) + hold, unit='frame', disable=None, delay=2) as bar:
        film.write(_OUT.value, bar, len(found) + hold, fps)
    print(f'{_OUT.value}: {len(found)} pictures at {fps:g} a second')


def _film_of_network():
    seeds = parse_seeds(_SEEDS.value)
    columns, rows = _grid()
    fps = _FPS.value or 30
    generator, lod = _NETWORK.load()
    labels = _NETWORK.labels(generator)
    seconds = (
        _SECONDS_A_SEED * len(seeds) / (columns * rows)
        if _KIND.value in ('walk', 'sticking', 'mixing')
        else _SECONDS_ELSE
    )
    count = round((_SECONDS.value or seconds) * fps)
    if not 1 <= count <= _MOST_FRAMES:
        raise UserError(f'{count} frames: a film has 1 to {_MOST_FRAMES:,}; change seconds or fps')
    with tqdm.tqdm(unit='img', disable=None, delay=2) as bar:
        artist = Painter(generator, label=labels, lod=lod, precision=_NETWORK['precision'], drawn=bar.update)
        frames, bar.total = _scene(artist, seeds, count, columns, rows)
        film.write(_OUT.value, frames, count, fps)
    print(f'{_OUT.value}: {count} frames at {fps:g} a second')
    if line := _NETWORK.about_labels(labels):
        print(line)


def _scene(artist, seeds, count, columns, rows):
    """Returns (an iterator of frames, the number of images that are drawn for them)."""
    psi, across = _NETWORK['psi'], int(np.ceil(np.sqrt(len(seeds))))
    if _KIND.value == 'walk':
        frames = scenes.walk(
            artist, seeds, count=count, space=_SPACE.value, path=_PATH.value, psi=psi, rows=rows, columns=columns
        )
        return frames, count * rows * columns
    if _KIND.value == 'sticking':
        frames = scenes.sticking(
            artist, seeds, count=count, space=_SPACE.value, path=_PATH.value, psi=psi, column=_COLUMN.value
        )
        return frames, count + scenes.frames_of_past(artist, count)
    if _KIND.value == 'mixing':
        destinations = parse_seeds(_DESTINATIONS.value, 'destinations')
        frames = scenes.mixing(artist, seeds, destinations, count=count, psi=psi)
        return frames, count * len(destinations) * len(scenes.ranges(artist))
    if _KIND.value == 'truncation':
        if psi is not None:
            raise UserError('a truncation film goes through many values', field='psi', remedy='give psis')
        first, last = _psis()
        frames = scenes.truncation(artist, seeds, count=count, first=first, last=last, columns=across)
        return frames, count * len(seeds)
    return scenes.noise(artist, seeds, count=count, psi=psi, columns=across), count * len(seeds)


def _grid():
    """Returns (columns, rows)."""
    if _COLUMN.value is not None and _KIND.value != 'sticking':
        raise UserError('is for --kind=sticking', field='column', value=_COLUMN.value)
    if _GRID.value is None:
        return 1, 1
    if _KIND.value != 'walk':
        raise UserError('is for walks; other kinds lay their images out by themselves', field='grid', value=_GRID.value)
    match = re.fullmatch(r'([1-9]\d?)x([1-9]\d?)', _GRID.value, re.ASCII)
    if not match or int(match[1]) * int(match[2]) > _MOST_PLACES:
        raise UserError(
            f'give COLUMNSxROWS such as 3x2, at most {_MOST_PLACES} in all', field='grid', value=_GRID.value
        )
    return int(match[1]), int(match[2])


def _psis():
    try:
        first, last = (float(part) for part in _PSIS.value.split(','))
    except ValueError:
        first = last = math.nan
    if not (math.isfinite(first) and math.isfinite(last)):
        raise UserError('give two numbers, such as 1,-1', field='psis', value=_PSIS.value)
    return first, last


if __name__ == '__main__':
    command.run(main, FLAGS)
