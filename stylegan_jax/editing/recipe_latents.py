"""From a recipe to the latents of its picture: sources, truncation, mixing, and steps along directions."""

import collections.abc
import dataclasses
import threading

import numpy as np

from stylegan_jax.animation import paths
from stylegan_jax.cli.parsing import parse_classes, parse_layers
from stylegan_jax.editing import directions as editing
from stylegan_jax.editing.latent_file import Latents
from stylegan_jax.editing.recipe import Recipe, Source
from stylegan_jax.errors import UserError
from stylegan_jax.figures import layer_ranges
from stylegan_jax.networks.generator import Generator, broadcast_w
from stylegan_jax.runtime.recent import Recent
from stylegan_jax.sampling.latents import latents
from stylegan_jax.sampling.painter import Painter
from stylegan_jax.sampling.seed_labels import SeedLabels, class_labels, labels_in_turn, same_label

MOST_PRINCIPAL = 10  # directions that a network has by itself
_SAMPLES = 10_000  # of W, which they are computed from
_MOST_SEEDS, _MOST_LABELS = 4096, 64  # w of seeds, and sets of labels, that are kept; a set may be of all classes
_MOST_PREPARED = 16  # classes whose average w is computed before anyone asks for it


def principal_names(generator: Generator) -> tuple[str, ...]:
    """Returns the names of the principal directions that recipes may name for any network with a W."""
    if generator.config.is_progan:
        return ()
    return tuple(f'pc{number}' for number in range(min(MOST_PRINCIPAL, generator.w_dim)))


class RecipeLatents:
    """Finds the latents of recipes for one generator, and keeps what takes long; threads may share it."""

    def __init__(
        self,
        generator: Generator,
        find_latents: collections.abc.Callable[[str], Latents],
        find_directions: collections.abc.Callable[[str], editing.Directions],
        precision: str,
    ):
        """Computes nothing yet.

        Args:
          generator: a Generator.
          find_latents: returns the Latents of a name.
          find_directions: returns the Directions of a name.
          precision: of the mapping network, see `sampling.sampler.Sampler`.
        """
        self.generator, self._find_directions = generator, find_directions
        self._find_latents = find_latents
        self._painter = Painter(generator, precision=precision)
        self._dtype = generator.w_avg.dtype
        self._w_of_seeds, self._labels, self._own_directions = Recent(_MOST_SEEDS), Recent(_MOST_LABELS), None
        self._prepared = Recent(_MOST_LABELS)
        self._lock = threading.RLock()  # held while something that is kept is computed

    def prepare(self, recipe: Recipe) -> None:
        """Computes what takes long: the average w of classes, and directions."""
        labels = self.labels(recipe)
        if not self.generator.config.is_progan:
            self._centers(labels, range(min(len(labels), _MOST_PREPARED)))
        for move in recipe.moves:
            self._step(move.name, recipe.directions)
        self._prepared.keep(_long_parts(recipe), True)

    def is_prepared(self, recipe: Recipe) -> bool:
        """Tells whether `prepare` was called for the same labels and directions, so that drawing takes no longer."""
        return bool(self._prepared.found(_long_parts(recipe)) and self._labels.found((recipe.class_, recipe.label)))

    def __call__(self, recipe: Recipe) -> np.ndarray:
        """Returns the latents of the cells of a recipe, [N, L, W].

        Raises:
          UserError: the recipe names what is not there, or what the network does not have.
        """
        columns, rows = recipe.grid
        if recipe.source.kind == 'file':
            self.saved(recipe.source)  # only the cells of a grid may go beyond the last row, to the first one again
        main = [recipe.source.shifted(column, row, columns) for row in range(rows) for column in range(columns)]
        ws = np.stack([self._ws_of(source, recipe) for source in main])
        if recipe.layers and not self.generator.config.use_styles:
            raise UserError('the layers of this network have no styles (configurations C to F have)', field='recipe')
        for text, source in recipe.layers:
            layers = self.layers(text)
            ws[:, layers] = self._ws_of(source, recipe, checked=True)[layers]
        for move in recipe.moves:
            step = self._step(move.name, recipe.directions)
            layers = None if move.layers is None else self.layers(move.layers)
            ws = np.asarray(editing.move(ws, step, move.strength, layers))
        return ws

    def layers(self, text: str) -> list[int]:
        """Returns the layers that a text such as 'coarse' or '0-3,6' names; raises UserError where there are none."""
        config = self.generator.config
        named = layer_ranges.split(config.image)
        if text in layer_ranges.NAMES and text not in named:
            raise UserError(f'this network has no {text} layers', field='recipe')
        return list(named[text]) if text in named else parse_layers(text, config.num_layers)

    def labels(self, recipe: Recipe) -> SeedLabels:
        """Returns the labels of seeds: the class or the label of a recipe, or all classes in turn.

        Raises:
          UserError: the network has no such class or label.
        """
        key = recipe.class_, recipe.label
        return self._labels.found(key) or self._labels.keep(key, self._new_labels(recipe))

    def saved(self, source: Source) -> Latents:
        """Returns the file of latents that a source is a row of; raises UserError where it does not fit."""
        found = self._find_latents(source.name)
        if found.ws.shape[1:] != (self.generator.num_ws, self.generator.w_dim):
            raise UserError(
                f'{source.name} holds latents of shape {list(found.ws.shape)}, and this network takes '
                f'[N, {self.generator.num_ws}, {self.generator.w_dim}]',
                field='recipe',
            )
        if source.row >= len(found.ws):
            raise UserError(f'{source.name} has latents 0 to {len(found.ws) - 1}, and no {source.row}', field='recipe')
        return found

    def _new_labels(self, recipe):
        generator = self.generator
        for name, value in (('class', recipe.class_), ('label', recipe.label)):
            if value is not None and not generator.label_dim:
                raise UserError('this is a network without labels', field=name, value=value, remedy='leave it out')
        if recipe.label is not None:
            if len(recipe.label) != generator.label_dim:
                raise UserError(f'the labels of this network have {generator.label_dim} numbers', field='label')
            own = not generator.config.is_progan
            return dataclasses.replace(same_label(generator, recipe.label), names=('the label',), own_average=own)
        if recipe.class_ is None:
            return labels_in_turn(generator)
        names = generator.label_meaning.names if generator.label_meaning else None
        if recipe.class_ == 'none' and 'none' not in (names or ()):
            return same_label(generator, None)
        return class_labels(generator, parse_classes(recipe.class_, generator.label_dim, names))

    def _ws_of(self, source, recipe, checked=False):
        """The latents of one source, [L, W]; those of seeds are truncated, those of files are as they were found."""
        if source.kind == 'file':
            found = self.saved(source if checked else dataclasses.replace(source, row=0))
            return np.array(found.ws[source.row % len(found.ws)], self._dtype)
        labels = self.labels(recipe)
        weights = dict.fromkeys(source.seeds) if source.kind == 'loop' else source.weights()
        seeds = list(source.seeds if source.kind == 'loop' else weights)
        points = np.stack([self._w_of(seed, labels, recipe) for seed in seeds])
        is_truncated = recipe.psi != 1 and not self.generator.config.is_progan
        centers = self._centers(labels, seeds) if is_truncated else None
        w, centers = (None if x is None else _between(x, source, weights) for x in (points, centers))
        if not self.generator.config.is_progan:
            return np.asarray(self.generator.truncate(w, recipe.psi, recipe.cutoff, centers))[0]
        if recipe.psi is not None:
            raise UserError(
                'a Progressive GAN generator has no truncation',
                field='psi',
                value=f'{recipe.psi:g}',
                remedy='leave it out',
            )
        return np.asarray(broadcast_w(self.generator.config, w))[0]

    def _w_of(self, seed, labels, recipe):
        """The w [W] of a seed, which is kept: a hand that drags crosses the same seeds again and again."""
        key = seed, recipe.class_, recipe.label
        found = self._w_of_seeds.found(key)
        if found is None:
            w = self._painter.w(latents([seed], self.generator.z_dim), labels([seed]))[0]
            found = self._w_of_seeds.keep(key, w)
        return found

    def _centers(self, labels, seeds):
        with self._lock:
            return labels.centers(seeds)

    def _step(self, name, file):
        """The step [W] of a direction: of a file, or else a principal one of the network."""
        found = None if file is None else self._find_directions(file)
        if found is None or (name not in found.names and name in principal_names(self.generator)):
            found = self._principal()
        elif found.normals.shape[1] != self.generator.w_dim:
            raise UserError(
                f'{file} holds directions of {found.normals.shape[1]} dimensions, and this network has '
                f'{self.generator.w_dim}',
                field='recipe',
            )
        return found.step(name)

    def _principal(self):
        with self._lock:
            if self._own_directions is None:
                moments = editing.statistics(self.generator, _SAMPLES, label=labels_in_turn(self.generator))
                names = principal_names(self.generator)
                self._own_directions = editing.principal_directions(moments, len(names))
            return self._own_directions


def _long_parts(recipe):
    """The parts of a recipe that `prepare` computes something for."""
    return recipe.class_, recipe.label, recipe.directions, bool(recipe.moves)


def _between(points, source, weights):
    """The place [1, W] of a source among the points [P, W] of its seeds."""
    if source.kind == 'loop':
        return paths.on_spline(points, np.array(source.place) % len(points))
    if len(points) == 1:
        return points
    return (np.array([list(weights.values())]) @ points.astype(np.float64)).astype(points.dtype)
