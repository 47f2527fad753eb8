"""A recipe: one line of text that says how a picture comes from a network.

    seed:5;4-7=seed:12;move:pc0@0-3=1.5;noise=random:3;psi=0.7;grid=3x2

The viewer keeps it in the address of its page, `generate --recipe` takes it, and `editing.recipe_painter` draws it. The
parts of a text are separated by semicolons:

    seed:5, walk:3.5,0.2, loop:0-3,9@1.5, FILE#2    the source of all layers, see `Source`
    4-7=SOURCE, coarse=SOURCE                       layers that come from elsewhere; later parts win
    move:NAME=1.5, move:NAME@0-3=1.5                steps along directions, in standard deviations
    directions=FILE                                 where directions other than pc0, pc1, ... are found
    psi=0.7, cutoff=8                               truncation of latents that come from seeds
    noise=const, noise=none, noise=random:3, noise=FILE#2, noise@6-7=0.5    noise inputs, and factors of layers
    class=cat, label=0,1,0.5                        in place of a class for each seed in turn
    lod=1, nimg=80000, grid=3x2                     level of detail; checkpoint of a run; columns and rows

Names are percent-encoded where they have signs that mean something here. No JAX in this file.
"""

import collections.abc
import dataclasses
import math
import re
import typing
import urllib.parse

from stylegan_jax.cli.parsing import parse_seeds
from stylegan_jax.errors import UserError

WALK_ROW = 100  # seeds in a row of the plane that `walk` moves in
_MOST_SIGNS = 8000  # of a text
_MOST_PARTS = 64  # layers, moves, seeds of a loop, and cells of a grid
_LARGEST_SIDE = 16  # of a grid
_SAFE = '/._-~+,'  # signs of names that are written as they are
_NAMED_LAYERS = 'coarse', 'middle', 'fine'
_LAYERS = re.compile(r'\d{1,3}(?:-\d{1,3})?(?:,\d{1,3}(?:-\d{1,3})?)*', re.ASCII)
_KEYS = 'directions', 'psi', 'cutoff', 'noise', 'class', 'label', 'lod', 'nimg', 'grid'


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the latents of layers come from.

    Attributes:
      kind: 'seed', 'walk', 'loop' or 'file'.
      seeds: of a seed, the seed; of a loop, those that it passes.
      place: of a walk, (x, y) in a plane where whole numbers are the seeds x + 100 y, and w is bilinear between them;
        of a loop, how many seeds it has passed, along a closed spline in W.
      name: of a file of latents.
      row: of a file, the number of the latent.
    """

    kind: str
    seeds: tuple[int, ...] = ()
    place: tuple[float, ...] = ()
    name: str = ''
    row: int = 0

    def __str__(self):
        if self.kind == 'seed':
            return f'seed:{self.seeds[0]}'
        if self.kind == 'walk':
            return f'walk:{_place(self.place[0])},{_place(self.place[1])}'
        if self.kind == 'loop':
            return f'loop:{",".join(map(str, self.seeds))}@{_place(self.place[0])}'
        return f'{_quoted(self.name)}#{self.row}'

    @classmethod
    def parse(cls, text: str) -> typing.Self:
        """Reads a source; raises UserError unless it is one."""
        kind, _, rest = text.strip().partition(':')
        if kind == 'seed':
            return cls('seed', (_seed(rest),))
        if kind == 'walk':
            place = tuple(_finite(part, text) for part in rest.split(','))
            if len(place) != 2 or max(map(abs, place)) > 2**26:
                raise _wrong(text, 'give two numbers below 2^26, such as walk:3.5,0.2')
            return cls('walk', place=place)
        if kind == 'loop':
            seeds, _, place = rest.partition('@')
            return cls('loop', tuple(parse_seeds(seeds, 'recipe', _MOST_PARTS)), (_finite(place or '0', text),))
        name, sign, row = text.strip().rpartition('#')
        if not sign or not name or not re.fullmatch(r'\d{1,7}', row, re.ASCII):
            raise _wrong(text, 'give seed:5, walk:3.5,0.2, loop:0-3@1.5 or FILE#0')
        return cls('file', name=urllib.parse.unquote(name), row=int(row))

    def weights(self) -> dict[int, float]:
        """Returns the seeds whose w a walk is between, with their weights; a seed alone has the weight 1."""
        if self.kind == 'seed':
            return {self.seeds[0]: 1.0}
        (x, across), (y, down) = ((math.floor(value), value - math.floor(value)) for value in self.place)
        corners = {
            (x + dx + WALK_ROW * (y + dy)) % 2**32: (across if dx else 1 - across) * (down if dy else 1 - down)
            for dy in range(2)
            for dx in range(2)
        }
        return {seed: weight for seed, weight in corners.items() if weight}

    def shifted(self, column: int, row: int, columns: int) -> typing.Self:
        """Returns the source of a cell of a grid: the next seed, place or latent of a file for each cell."""
        number = row * columns + column
        if self.kind == 'seed':
            return dataclasses.replace(self, seeds=((self.seeds[0] + number) % 2**32,))
        if self.kind == 'walk':
            return dataclasses.replace(self, place=(self.place[0] + column, self.place[1] + row))
        if self.kind == 'loop':
            return dataclasses.replace(self, place=(self.place[0] + number,))
        return dataclasses.replace(self, row=self.row + number)


@dataclasses.dataclass(frozen=True)
class Move:
    """A step along a direction: its name, how far [standard deviations], and which layers move (None for all)."""

    name: str
    strength: float
    layers: str | None = None


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a picture comes from a network; None is what the network does by itself.

    Layers are texts such as 'coarse' or '0-3,6', which only a network gives a meaning to.

    Attributes:
      source: of all layers that `layers` does not name.
      layers: ((layers, Source), ...); later ones win.
      moves: Moves.
      directions: name of a file of directions.
      psi, cutoff: truncation, see `Generator.truncate`; latents of files are taken as they are.
      noise: 'const', 'none', 'random:SEED', or 'NAME#ROW' for the noise inputs of a file of latents.
      factors: ((layers, factor of their noise inputs), ...).
      class_: number or name of a class.
      label: in place of a class.
      lod: level of detail.
      nimg: images shown at the checkpoint of a run.
      grid: (columns, rows): each cell has the next seed, place or latent as its source.
    """

    source: Source = Source('seed', (0,))
    layers: tuple[tuple[str, Source], ...] = ()
    moves: tuple[Move, ...] = ()
    directions: str | None = None
    psi: float | None = None
    cutoff: int | None = None
    noise: str = 'const'
    factors: tuple[tuple[str, float], ...] = ()
    class_: str | None = None
    label: tuple[float, ...] | None = None
    lod: float | None = None
    nimg: int | None = None
    grid: tuple[int, int] = (1, 1)

    def __post_init__(self):
        if len(self.layers) > _MOST_PARTS or len(self.moves) > _MOST_PARTS or len(self.factors) > _MOST_PARTS:
            raise _wrong('...', f'give at most {_MOST_PARTS} parts of a kind')
        if self.class_ is not None and self.label is not None:
            raise _wrong('class and label', 'a class is a label by itself; give one of both')

    def __str__(self):
        """The text, in one order and without what goes without saying; `parse` reads it."""
        parts = [str(self.source), *(f'{layers}={source}' for layers, source in self.layers)]
        for move in self.moves:
            parts.append(f'move:{_quoted(move.name)}{f"@{move.layers}" * bool(move.layers)}={_number(move.strength)}')
        if self.noise != 'const':
            parts.append(f'noise={self.noise}')
        parts += [f'noise@{layers}={_number(factor)}' for layers, factor in self.factors]
        others = {
            'directions': None if self.directions is None else _quoted(self.directions),
            'psi': None if self.psi is None else _number(self.psi),
            'cutoff': self.cutoff,
            'class': None if self.class_ is None else _quoted(self.class_),
            'label': None if self.label is None else ','.join(map(_number, self.label)),
            'lod': None if self.lod is None else _number(self.lod),
            'nimg': self.nimg,
            'grid': None if self.grid == (1, 1) else f'{self.grid[0]}x{self.grid[1]}',
        }
        return ';'.join(parts + [f'{key}={value}' for key, value in others.items() if value is not None])

    @classmethod
    def parse(cls, text: str) -> typing.Self:
        """Reads a text; raises UserError where a part has no meaning."""
        if len(text) > _MOST_SIGNS:
            raise UserError(f'has more than {_MOST_SIGNS} signs', field='recipe', value=text[:40] + '...')
        fields, many = {}, {'layers': [], 'moves': [], 'factors': []}
        for part in filter(None, map(str.strip, text.split(';'))):
            key, sign, value = part.partition('=')
            if not sign:
                found = {'source': Source.parse(part)}
            elif key in _KEYS:
                found = {'class_' if key == 'class' else key: _value(key, value, part)}
            else:
                kind, one = _one_of_many(key, value, part)
                many[kind].append(one)
                continue
            if found.keys() & fields.keys():
                raise _wrong(part, 'give it once')
            fields |= found
        return cls(**fields, **{kind: tuple(some) for kind, some in many.items()})

    def named(self, names: collections.abc.Mapping[str, str]) -> typing.Self:
        """Returns the recipe with other names of files, from {name: other name}; raises UserError for one without."""

        def other(name):
            if name not in names:
                raise UserError(f'{name} is not among the files that are known here', field='recipe')
            return names[name]

        def of(source):
            return dataclasses.replace(source, name=other(source.name)) if source.kind == 'file' else source

        noise = self.noise if '#' not in self.noise else str(of(Source.parse(self.noise)))
        return dataclasses.replace(
            self,
            source=of(self.source),
            layers=tuple((layers, of(source)) for layers, source in self.layers),
            directions=None if self.directions is None else other(self.directions),
            noise=noise,
        )

    def to_dict(self) -> dict[str, typing.Any]:
        """Returns plain values for JSON, of which `from_dict` makes the same recipe."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return values | {
            'source': str(self.source),
            'layers': [[layers, str(source)] for layers, source in self.layers],
            'moves': [[move.name, move.strength, move.layers] for move in self.moves],
            'factors': [list(one) for one in self.factors],
            'label': None if self.label is None else list(self.label),
            'grid': list(self.grid),
        }

    @classmethod
    def from_dict(cls, values: object) -> typing.Self:
        """Reads what `to_dict` returned, or a page made of it; raises UserError for anything else."""
        try:
            values = {'moves': (), **values}
            moves = [(str(name), _bounded(far), layers and _layers(layers)) for name, far, layers in values['moves']]
            given = cls(
                Source.parse(values.get('source', 'seed:0')),
                tuple((_layers(layers), Source.parse(source)) for layers, source in values.get('layers', ())),
                tuple(Move(*move) for move in moves),
                noise=_noise(values.get('noise', 'const')),
                factors=tuple((_layers(layers), _bounded(factor)) for layers, factor in values.get('factors', ())),
                label=None if values.get('label') is None else tuple(map(_bounded, values['label'])),
                grid=_grid('{}x{}'.format(*values.get('grid', (1, 1)))),
                **{
                    name: None if values.get(name) is None else kind(values[name])
                    for name, kind in (
                        *(('directions', str), ('class_', str), ('psi', _bounded), ('lod', _bounded)),
                        *(('cutoff', _count), ('nimg', _count)),
                    )
                },
            )
        except UserError:
            raise
        except Exception as error:  # whatever a request may hold in the place of what a page sends
            raise UserError(f'is none ({type(error).__name__}: {error})', field='recipe') from None
        return cls.parse(str(given))


def _one_of_many(key, value, part):
    """Returns (field, its next entry) of a part that may come several times."""
    name, _, layers = key.rpartition('@') if '@' in key else (key, '', None)
    if name.startswith('move:'):
        layers = None if layers is None else _layers(layers)
        return 'moves', Move(urllib.parse.unquote(name.removeprefix('move:')), _finite(value, part), layers)
    if name == 'noise' and layers:
        return 'factors', (_layers(layers), _finite(value, part))
    return 'layers', (_layers(key), Source.parse(value))


def _value(key, value, part):
    if key in ('directions', 'class'):
        return urllib.parse.unquote(value)
    if key in ('psi', 'lod'):
        return _finite(value, part)
    if key in ('cutoff', 'nimg'):
        return _count(value)
    if key == 'label':
        return tuple(_finite(number, part) for number in value.split(','))
    return _noise(value) if key == 'noise' else _grid(value)


def _noise(text):
    if text in ('const', 'none'):
        return text
    kind, _, seed = text.partition(':')
    if kind == 'random':
        return f'random:{_seed(seed)}'
    if '#' not in text:
        raise _wrong(f'noise={text}', 'give const, none, random:3 or FILE#0')
    return str(Source.parse(text))


def _grid(text):
    sides = re.fullmatch(r'([1-9]\d?)x([1-9]\d?)', text, re.ASCII)
    columns, rows = (int(sides[1]), int(sides[2])) if sides else (0, 0)
    if not 0 < columns * rows <= _MOST_PARTS or max(columns, rows) > _LARGEST_SIDE:
        raise _wrong(f'grid={text}', f'give COLUMNSxROWS, at most {_LARGEST_SIDE} each and {_MOST_PARTS} in all')
    return columns, rows


def _layers(text):
    text = str(text).strip()
    if text not in _NAMED_LAYERS and not _LAYERS.fullmatch(text):
        raise _wrong(text, 'no part of a recipe begins so; layers are coarse, middle, fine, or such as 0-3,6')
    return text


def _seed(text):
    if not re.fullmatch(r'\d{1,10}', str(text), re.ASCII) or int(text) >= 2**32:
        raise _wrong(text, 'a seed is a number below 2^32')
    return int(text)


def _count(text):
    if not re.fullmatch(r'\d{1,12}', str(text), re.ASCII):
        raise _wrong(text, 'give a whole number from 0')
    return int(text)


def _finite(text, part):
    try:
        return _bounded(float(text))
    except ValueError:
        raise _wrong(part, 'give a number between -10^9 and 10^9') from None


def _bounded(number):
    if not abs(float(number)) <= 1e9:
        raise _wrong(number, 'give a number between -10^9 and 10^9')
    return float(number)


def _wrong(part, remedy):
    return UserError(f'{part!r} means nothing', field='recipe', remedy=remedy)


def _number(value):
    return f'{value:.7g}'


def _place(value):
    return f'{value:.12g}'  # the thousandths between seeds that are as large as they can be


def _quoted(name):
    return urllib.parse.quote(name, safe=_SAFE)
