"""Draws recipes: the same pixels for the page of the viewer and for `generate --recipe`.

One program draws one image of a stage. Weights, latents, the fade weight, noise inputs and their factors are its
arguments, so that nothing is compiled while any of them changes.
"""

import collections.abc
import functools

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.editing import latent_file
from stylegan_jax.editing.directions import Directions
from stylegan_jax.editing.recipe import Recipe, Source
from stylegan_jax.editing.recipe_latents import RecipeLatents
from stylegan_jax.errors import UserError
from stylegan_jax.networks.generator import Generator, synthesize_images
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.engine import (
    chosen_precision,
    kept_program,
    noise_of_keys,
    synthesis_dtype,
    to_uint8_on_device,
)


class RecipePainter:
    """A generator that draws recipes, on the first device; threads may share it.

    Attributes:
      generator: the Generator.
      config: its GeneratorConfig.
      lod: level of detail of recipes that name none.
      latents: the RecipeLatents.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        find_latents: collections.abc.Callable[[str], latent_file.Latents] | None = None,
        find_directions: collections.abc.Callable[[str], Directions] | None = None,
        lod: float = 0.0,
        precision: str = 'float32',
    ):
        """Compiles nothing yet.

        Args:
          generator: a Generator.
          find_latents: returns the latents of a name; None takes the name as the path of a file, which is read once.
          find_directions: returns the directions of a name; None as well.
          lod: level of detail of recipes that name none.
          precision: see `sampling.sampler.Sampler`.
        """
        self.generator, self.config, self.lod = generator, generator.config, lod
        self._device = jax.local_devices()[0]
        self._precision = chosen_precision(precision, self._device)
        self._dtype = generator.w_avg.dtype
        find_latents = find_latents or functools.cache(latent_file.Latents.load)
        find_directions = find_directions or functools.cache(latent_file.load_directions)
        self.latents = RecipeLatents(generator, find_latents, find_directions, self._precision)

    def stage_and_alpha(self, recipe: Recipe) -> tuple[int, float]:
        """Returns the stage and the fade weight of a recipe; raises UserError for a level that does not exist."""
        return stage_and_alpha(self.config.image, self.lod if recipe.lod is None else recipe.lod)

    def compile(self, stage: int) -> None:
        """Compiles the program of a stage, unless that was done before."""
        self._program(stage).compile(*self._shapes(stage))

    def picture(self, recipe: Recipe, most: int | None = None) -> np.ndarray:
        """Draws a recipe; the cells of its grid are side by side, uint8 [H, W, C].

        Args:
          recipe: a Recipe.
          most: the last stage that is drawn, where the recipe's is a later one; None for the recipe's.

        Raises:
          UserError: the recipe names what is not there, or what the network does not have.
        """
        return grid.image_grid(self.images(recipe, most), recipe.grid[0])

    def images(self, recipe: Recipe, most: int | None = None) -> np.ndarray:
        """Draws the cells of a recipe, uint8 [N, H, W, C]; see `picture`."""
        stage, alpha = self.stage_and_alpha(recipe)
        if most is not None and most < stage:
            stage, alpha = most, 1.0
        noise, factors = self._noise(recipe, stage)
        program = self._program(stage)
        network = program.place((self._params, np.asarray(alpha, self._dtype), noise, factors))
        # All images are under way before the first one is waited for.
        drawn = [program(network, w[None]) for w in self.latents(recipe)]
        return np.concatenate([np.asarray(image) for image in drawn])

    def saved(self, recipe: Recipe) -> latent_file.Latents:
        """Returns the latents of a recipe with their noise inputs, which a file can keep; see `Latents`."""
        columns, rows = recipe.grid
        sources = [recipe.source.shifted(column, row, columns) for row in range(rows) for column in range(columns)]
        noise, factors = self._noise(recipe, self.stage_and_alpha(recipe)[0])
        if recipe.noise == 'const' and not recipe.factors:
            noise = 'const'
        elif not noise or recipe.noise == 'none':
            noise = 'none'
        else:
            noise = tuple(np.asarray(layer) * factor for layer, factor in zip(noise, factors))
        lod = self.lod if recipe.lod is None else recipe.lod
        return latent_file.Latents(self.latents(recipe), tuple(map(str, sources)), noise, lod)

    def _noise(self, recipe, stage):
        """Returns (noise inputs [1, h, w, 1] of the layers of a stage, their factors); empty without noise inputs."""
        if not self.config.use_noise:
            return (), ()
        factors = np.ones(self.config.num_layers, self._dtype)
        used, noise = 2 * (stage + 1), self._stored_noise
        if recipe.noise.startswith('random:'):
            noise = _random_noise(self.config, int(recipe.noise.partition(':')[2]), self._dtype)
        elif recipe.noise == 'none':
            factors[:] = 0  # and the stored inputs: the same program draws with noise and without
        elif recipe.noise != 'const':
            source = Source.parse(recipe.noise)
            found = self.latents.saved(source).noise_of(source.row)
            if isinstance(found, str):
                factors[:] = found == 'const'
            else:
                noise = self._checked(found, used, source.name)
        for layers, factor in recipe.factors:
            factors[self.latents.layers(layers)] *= np.asarray(factor, self._dtype)
        return tuple(noise[:used]), tuple(factors[:used])

    def _checked(self, noise, used, name):
        wanted = [self.config.noise_shape(layer) for layer in range(used)]
        if [np.shape(layer) for layer in noise[:used]] != wanted:
            raise UserError(f'{name} holds noise inputs for images of another size', field='recipe')
        return tuple(jnp.asarray(layer, self._dtype) for layer in noise)

    @functools.cached_property
    def _stored_noise(self):
        return jax.device_put(tuple(self.generator.noise), self._device)

    @functools.cached_property
    def _params(self):
        return self._program(0).place(self.generator.params)

    def _shapes(self, stage):
        used = 2 * (stage + 1) if self.config.use_noise else 0
        number = jax.ShapeDtypeStruct((), self._dtype)
        noise = tuple(jax.ShapeDtypeStruct(self.config.noise_shape(layer), self._dtype) for layer in range(used))
        network = jax.eval_shape(lambda: self.generator.params), number, noise, (number,) * used
        return network, jax.ShapeDtypeStruct((1, self.generator.num_ws, self.generator.w_dim), self._dtype)

    def _program(self, stage):
        return kept_program(
            _draw,
            (self._device,),
            self._precision,
            config=self.config,
            stage=stage,
            dtype=synthesis_dtype(self._precision),
        )


@functools.lru_cache(maxsize=4)
def _random_noise(config, seed, dtype):
    """The noise inputs of a seed at all layers; `generate --noise=random` gives the picture of that seed the same."""
    return _drawn_noise(config, jax.random.key(np.uint32(seed)), dtype)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _drawn_noise(config, key, dtype):
    return noise_of_keys(config, key[None], config.image.num_stages - 1, dtype)


def _draw(network, ws, *, config, stage, dtype):
    """From ws [1, L, W], noise inputs and a factor for each of them to a uint8 image [1, H, W, C]."""
    params, alpha, noise, factors = network
    noise = tuple(layer * factor for layer, factor in zip(noise, factors))
    return to_uint8_on_device(synthesize_images(config, params, ws, noise, stage=stage, alpha=alpha, dtype=dtype))
