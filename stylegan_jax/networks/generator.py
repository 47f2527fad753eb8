"""The generator that users hold: a pytree with arrays as leaves and the config as static data.

The functions at the end are called by the object and by the training steps alike.
"""

# Annotations stay text: building those with shapes takes time at each start, and only tests need them built.
from __future__ import annotations

import dataclasses
import functools
import os
import typing
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float, Integer, Real

from stylegan_jax.config.label_meaning import LabelMeaning
from stylegan_jax.config.network import GeneratorConfig, stage_and_alpha
from stylegan_jax.errors import UserError
from stylegan_jax.networks import file as network_file
from stylegan_jax.networks.labels import Labels, as_label
from stylegan_jax.networks.mapping import Mapping
from stylegan_jax.networks.ops import AnyArray
from stylegan_jax.networks.synthesis import Synthesis


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Generator:
    """A generator with its weights; a pytree, so `jax.jit`, `jax.grad` and sharding apply to it directly.

    Attributes:
      config: architecture and sizes.
      params: {'mapping': ..., 'synthesis': ...}, trees of trainable arrays. (Leaves of all three fields may be anything
        while JAX transforms the pytree, so that their annotations are weak.)
      w_avg: average w, the centre of the truncation trick, [W].
      noise: the stored noise inputs, one [1, h, w, 1] per layer; empty for a network without noise.
      label_meaning: what the labels that it was trained with mean, such as names of classes; None if that is not known.
    """

    config: GeneratorConfig = dataclasses.field(metadata={'static': True})
    params: typing.Any
    w_avg: typing.Any
    noise: tuple
    label_meaning: LabelMeaning | None = dataclasses.field(default=None, metadata={'static': True})

    @classmethod
    def init(cls, key: jax.Array, config: GeneratorConfig) -> 'Generator':
        """Makes a fresh generator.

        Args:
          key: a typed JAX key (`jax.random.key`).
          config: architecture and sizes.

        Returns:
          A Generator with random weights and noise inputs; its average w is zero.
        """
        return _init(key, config)

    @property
    def z_dim(self) -> int:
        """Z, the length of a latent z."""
        return self.config.z_dim

    @property
    def w_dim(self) -> int:
        """W, the length of an intermediate latent w."""
        return self.config.mapped_dim

    @property
    def num_ws(self) -> int:
        """L, the number of layers with a w of their own."""
        return self.config.num_ws

    @property
    def label_dim(self) -> int:
        """K; 0 for an unconditional network."""
        return self.config.image.label_dim

    @property
    def resolution(self) -> int:
        """Longer side at full size [pixels]."""
        return self.config.image.resolution

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) at full size."""
        return self.config.image.shape

    def map(
        self,
        z: Real[AnyArray, 'N Z'],
        label: Labels | None = None,
    ) -> Float[Array, 'N W']:
        """Maps latents to intermediate latents: w = f(z) (Section 2).

        Args:
          z: [N, Z].
          label: vectors [N, K], class indices [N], or None for zeros.

        Returns:
          w [N, W].

        Raises:
          UserError: a shape does not fit, or the network is Progressive GAN's.
        """
        self._refuse_progan('map')
        return self._map(z, label)

    def truncate(
        self,
        w: Real[AnyArray, 'N W'] | Real[AnyArray, 'N L W'],
        psi: float | Real[AnyArray, '...'] | None = None,
        cutoff: int | Integer[AnyArray, ''] | None = None,
        center: Real[AnyArray, ' W'] | Real[AnyArray, 'N W'] | None = None,
    ) -> Float[Array, 'N L W']:
        """Broadcasts w to layers and applies the truncation trick: w' = w_avg + psi * (w - w_avg) (Appendix B).

        Args:
          w: [N, W], or [N, L, W] where layers have a w of their own.
          psi: 1 changes nothing, 0 means the average w; None is the network's own default.
          cutoff: number of layers that are truncated, from the first; None is the network's own default.
          center: what takes the place of w_avg, such as the average w of a class, [W] or [N, W]; None for w_avg.

        Returns:
          ws [N, L, W].

        Raises:
          UserError: the shape of w does not fit, or the network is Progressive GAN's.
        """
        self._refuse_progan('truncate')
        return self._truncate(w, psi, cutoff, center)

    def synthesize(
        self,
        ws: Real[AnyArray, 'N L W'],
        *,
        noise: str | jax.Array | Sequence[Real[AnyArray, '_ _ _ 1']] = 'const',
        lod: float = 0.0,
    ) -> Float[Array, 'N h w C']:
        """Makes images: g(ws, noise) (Section 2).

        Args:
          ws: [N, L, W].
          noise: 'const' (the stored inputs), 'none', a typed JAX key (fresh for each image), or a list of arrays
            [1 or N, h, w, 1], one per layer.
          lod: level of detail, a Python float; 0 is full size, and each unit halves it; the fraction is the weight
            of the lower stage in the fade.

        Returns:
          images [N, H, W, C] at the size of the stage, nominally in [-1, 1], not clipped.

        Raises:
          UserError: a shape, the noise or the lod does not fit.
        """
        ws = jnp.asarray(ws, self.w_avg.dtype)
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise UserError(f'ws has shape {ws.shape}; give [N, {self.num_ws}, {self.w_dim}] (see truncate)')
        stage, alpha = stage_and_alpha(self.config.image, lod)
        inputs = self._noise_inputs(noise, ws.shape[0], stage)
        return _synthesize_compiled(self.config, self.params, ws, inputs, stage=stage, alpha=alpha)

    def __call__(
        self,
        z: Real[AnyArray, 'N Z'],
        label: Labels | None = None,
        *,
        psi: float | Real[AnyArray, '...'] | None = None,
        cutoff: int | Integer[AnyArray, ''] | None = None,
        noise: str | jax.Array | Sequence[Real[AnyArray, '_ _ _ 1']] = 'const',
        lod: float = 0.0,
    ) -> Float[Array, 'N h w C']:
        """Makes images from latents: `map`, `truncate` and `synthesize` in one.

        Args:
          z: [N, Z].
          label: see `map`.
          psi, cutoff: see `truncate`.
          noise, lod: see `synthesize`.

        Returns:
          images [N, H, W, C].

        Raises:
          UserError: as these do.
        """
        if self.config.is_progan:
            for name, value, default in (('psi', psi, None), ('cutoff', cutoff, None), ('noise', noise, 'const')):
                if not (value is None or (isinstance(value, str) and value == default)):
                    self._refuse_progan(name)
            # The traditional generator takes z itself, as a single w for all layers.
            return self.synthesize(self._map(z, label)[:, None], lod=lod)
        return self.synthesize(self._truncate(self._map(z, label), psi, cutoff), noise=noise, lod=lod)

    def save(self, path: str | os.PathLike, dtype: str | None = None) -> None:
        """Writes one portable file (arrays and config, no pickle) that `stylegan_jax.load` reads.

        Args:
          path: of the file; an existing one is replaced.
          dtype: number type of the stored arrays: 'float16' for half the size and three digits; None for their own.
        """
        labels = None if self.label_meaning is None else self.label_meaning.to_dict()
        network_file.write(
            path, kind='generator', config=self.config, arrays=self.named_arrays(), dtype=dtype, labels=labels
        )

    @classmethod
    def from_arrays(cls, config: GeneratorConfig, arrays: dict[str, jax.typing.ArrayLike]) -> 'Generator':
        """Rebuilds a generator from the arrays that `save` wrote.

        Raises:
          UserError: they are not those of a network of this config.
        """
        network_file.check_arrays(arrays, cls.shapes(config))
        arrays = {name: jnp.asarray(array) for name, array in arrays.items()}
        params = {tuple(name.split('/')[1:]): a for name, a in arrays.items() if name.startswith('params/')}
        params = {'mapping': {}, 'synthesis': {}} | traverse_util.unflatten_dict(params)
        noise = tuple(arrays[f'noise/{layer}'] for layer in range(config.num_layers)) if config.use_noise else ()
        return cls(config, params, arrays['w_avg'], noise)

    @classmethod
    def shapes(cls, config: GeneratorConfig) -> dict[str, jax.ShapeDtypeStruct]:
        """Returns shape and type of all arrays that a generator of this config has, by the names that `save` writes.

        Raises:
          UserError: the config describes no network.
        """
        return network_file.template_of(
            lambda: jax.eval_shape(lambda key: cls.init(key, config), jax.random.key(0)).named_arrays()
        )

    def named_arrays(self) -> dict[str, typing.Any]:
        """Returns all arrays of the generator by the names that `save` writes: {name: array}."""
        arrays = traverse_util.flatten_dict({'params': self.params}, sep='/')
        return arrays | {'w_avg': self.w_avg} | {f'noise/{layer}': array for layer, array in enumerate(self.noise)}

    def _refuse_progan(self, what):
        if self.config.is_progan:
            raise UserError(
                f'{what}: a Progressive GAN generator has no intermediate latents, no truncation and no '
                'noise inputs; call it with z (and label, lod) only'
            )

    def _map(self, z, label):
        z = jnp.asarray(z, self.w_avg.dtype)
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise UserError(f'z has shape {z.shape}; give [N, {self.z_dim}]')
        label = as_label(label, z.shape[0], self.label_dim, z.dtype)
        return _map_compiled(self.config, self.params, z, label)

    def _truncate(self, w, psi, cutoff, center=None):
        w = jnp.asarray(w, self.w_avg.dtype)
        if w.shape[1:] not in ((self.w_dim,), (self.num_ws, self.w_dim)):
            raise UserError(f'w has shape {w.shape}; give [N, {self.w_dim}] or [N, {self.num_ws}, {self.w_dim}]')
        # A w of each layer is truncated as well: the trick is linear in w.
        ws = broadcast_w(self.config, w) if w.ndim == 2 else w
        psi = self.config.truncation_psi if psi is None else psi
        cutoff = self.config.truncation_cutoff if cutoff is None else cutoff
        if psi is None or cutoff is None:
            return ws
        truncated = (jnp.arange(self.num_ws) < cutoff)[:, None]
        # psi may be traced. With 1 the layers keep w to the bit, which the product would round.
        if center is None:
            center = self.w_avg
        elif jnp.ndim(center) == 2:
            center = jnp.asarray(center, self.w_avg.dtype)[:, None]  # the same for all layers
        return jnp.where(truncated & (jnp.asarray(psi) != 1), center + (ws - center) * psi, ws)

    def _noise_inputs(self, noise, batch, stage):
        """Returns the noise inputs of the layers up to a stage, for each form of the argument `noise`."""
        used = 2 * (stage + 1)
        if isinstance(noise, str):
            if noise not in ('const', 'none'):
                raise UserError(f"noise={noise!r}: give 'const', 'none', a typed JAX key, or a list of arrays")
            return self.noise[:used] if noise == 'const' else ()
        if not self.config.use_noise:
            raise UserError('this network has no noise inputs; leave noise out')
        if isinstance(noise, jax.Array) and jnp.issubdtype(noise.dtype, jax.dtypes.prng_key):
            return draw_noise(self.config, noise, batch, stage, self.w_avg.dtype)
        if not isinstance(noise, (list, tuple)):
            raise UserError(
                f"noise has type {type(noise).__name__}: give 'const', 'none', a typed JAX key "
                '(jax.random.key), or a list of arrays'
            )
        if len(noise) < used:
            raise UserError(f'noise has {len(noise)} arrays; give one for each of the {used} layers of this stage')
        arrays = tuple(jnp.asarray(array, self.w_avg.dtype) for array in noise[:used])
        for layer, array in enumerate(arrays):
            shape = self.config.noise_shape(layer)[1:]
            if array.shape not in ((1, *shape), (batch, *shape)):
                raise UserError(
                    f'noise[{layer}] has shape {array.shape}; give [1 or {batch}, ' + ', '.join(map(str, shape)) + ']'
                )
        return arrays


def mix(ws_a: Real[AnyArray, '#N L W'], ws_b: Real[AnyArray, '#N L W'], layers: Iterable[int]) -> Real[Array, 'N L W']:
    """Takes the given layers from another set of ws (style mixing, Section 3.1).

    Mixing regularization, which training does with a crossover, is in `training.mixing`.

    Args:
      ws_a: [N, L, W].
      ws_b: [N, L, W], broadcast against `ws_a`.
      layers: layer numbers, such as `range(4, 8)`.

    Returns:
      `ws_a` with those layers of `ws_b`, [N, L, W].

    Raises:
      UserError: a layer does not exist.
    """
    layers = list(layers)
    count = jnp.shape(ws_a)[1]
    wrong = [layer for layer in layers if not 0 <= layer < count]
    if wrong:
        raise UserError(f'layer {wrong[0]} does not exist; these ws have layers 0 to {count - 1}')
    # A mask over layers rather than an assignment, so that either set may be one for all of the other.
    taken = jnp.zeros((count, 1), bool).at[jnp.array(layers, int)].set(True)
    return jnp.where(taken, ws_b, ws_a)


def map_latents(
    config: GeneratorConfig, params: typing.Any, z: Float[AnyArray, 'N Z'], label: Float[AnyArray, 'N K']
) -> Float[Array, 'N W']:
    """Runs the mapping network: z [N, Z], label [N, K] -> w [N, W]."""
    return Mapping(config).apply({'params': params['mapping']}, z, label)


def synthesize_images(
    config: GeneratorConfig,
    params: typing.Any,
    ws: Float[AnyArray, 'N L W'],
    noise: Sequence[Float[AnyArray, '_ _ _ 1']],
    *,
    stage: int,
    alpha: float | Float[AnyArray, ''] | None,
    dtype: jax.typing.DTypeLike | None = None,
) -> Float[Array, 'N h w C']:
    """Runs the synthesis network; see `networks.synthesis.Synthesis`."""
    return Synthesis(config).apply({'params': params['synthesis']}, ws, noise, stage=stage, alpha=alpha, dtype=dtype)


def broadcast_w(config: GeneratorConfig, w: Float[AnyArray, 'N W']) -> Float[Array, 'N L W']:
    """Repeats w for every layer: [N, W] -> [N, L, W]."""
    return jnp.broadcast_to(w[:, None], (w.shape[0], config.num_ws, w.shape[1]))


def draw_noise(
    config: GeneratorConfig,
    key: jax.Array,
    batch: int,
    stage: int,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> tuple[Float[Array, 'N _ _ 1'], ...]:
    """Draws noise inputs [N, h, w, 1] for the layers up to a stage; each layer has a key of its own."""
    if not config.use_noise:
        return ()
    return tuple(
        jax.random.normal(jax.random.fold_in(key, layer), (batch, *config.noise_shape(layer)[1:]), dtype)
        for layer in range(2 * (stage + 1))
    )


_map_compiled = jax.jit(map_latents, static_argnums=0)
_synthesize_compiled = jax.jit(synthesize_images, static_argnums=0, static_argnames=('stage', 'dtype'))


@functools.partial(jax.jit, static_argnums=1)
def _init(key, config):
    mapping_key, synthesis_key, noise_key = jax.random.split(key, 3)
    top = config.image.num_stages - 1
    z, label = jnp.zeros((1, config.z_dim)), jnp.zeros((1, config.image.label_dim))
    ws = jnp.zeros((1, config.num_ws, config.mapped_dim))
    noise = (
        tuple(
            jax.random.normal(jax.random.fold_in(noise_key, layer), config.noise_shape(layer))
            for layer in range(config.num_layers)
        )
        if config.use_noise
        else ()
    )
    params = {
        'mapping': Mapping(config).init(mapping_key, z, label).get('params', {}),
        'synthesis': Synthesis(config).init(synthesis_key, ws, (), stage=top, alpha=1.0)['params'],
    }
    return Generator(config, params, jnp.zeros(config.mapped_dim), noise)
