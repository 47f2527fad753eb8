"""Projection: finds the latents that make a given image, by optimising w (one, or one per layer) and the noise inputs.

Many images, each from several starts, are one batch of one compiled loop; no image depends on the others of its batch.

Reference: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", Appendix D, and Abdal et al.
2019, "Image2StyleGAN" (one w per layer). The ramps of the learning rate are the former's.
"""

import collections.abc
import dataclasses
import functools
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.editing import directions
from stylegan_jax.editing.distance import LPIPS_LEAST, Distance, noise_regularization, normalized_noise
from stylegan_jax.errors import UserError, require
from stylegan_jax.feature_networks.lpips import LPIPS
from stylegan_jax.metrics.moments import Moments
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator, synthesize_images
from stylegan_jax.runtime.platforms import compiler_options, matmul_precision
from stylegan_jax.sampling.engine import to_uint8_on_device

SPACES = 'w', 'w+'
NOISES = 'optimize', 'const', 'none'
_SAMPLES = 10_000  # samples of W that its mean and covariance are computed from
# Standard deviation of W along a direction, relative to that along the widest one. Narrower directions are taken to be
# as wide as this: w could hardly move along them otherwise, as one unit of every coordinate is a standard deviation.
_NARROWEST = 0.01
_PIXELS_AT_ONCE = 2**18  # of the candidates' images that are made at a time
_RAMP_UP, _RAMP_DOWN = 0.05, 0.25  # shares of the steps in which the learning rate rises and falls (StyleGAN2)
_JITTER_UNTIL = 0.75  # share of the steps until which w is jittered (StyleGAN2)
_JITTER = 0x71  # folded into the seed's key, so that the jitter has random numbers of its own


@dataclasses.dataclass(frozen=True)
class Options:
    """How images are projected.

    Attributes:
      space: 'w' (one latent for all layers) or 'w+' (one for each).
      noise: noise inputs: 'optimize' (they start as the stored ones), 'const' (the stored ones) or 'none'.
      steps: number of steps of the optimiser.
      rate: highest learning rate of Adam, in standard deviations of W.
      restarts: number of starts for each image: the mean of W, and the samples that look most like the image. Only the
        best one is continued after the first tenth of the steps.
      candidates: number of samples that the starts are chosen from.
      jitter: standard deviation of the noise that is added to w while it is optimised, in standard deviations of W; it
        fades away.
      noise_weight: weight of the regularisation of noise inputs.
      seed: seed of the samples and the jitter.
    """

    space: str = 'w+'
    noise: str = 'optimize'
    steps: int = 300
    rate: float = 0.1
    restarts: int = 4
    candidates: int = 1000
    jitter: float = 0.05
    noise_weight: float = 1e-4
    seed: int = 0

    def __post_init__(self):
        for name, choices in (('space', SPACES), ('noise', NOISES)):
            value = getattr(self, name)
            require(value in choices, name, value, 'choose ' + ', '.join(map(repr, choices)))
        for name, least in (('steps', 1), ('restarts', 1), ('candidates', 1), ('seed', 0)):
            require(getattr(self, name) >= least, name, getattr(self, name), f'give {least} or more')
        for name in ('rate', 'jitter', 'noise_weight'):
            require(0 <= getattr(self, name) < float('inf'), name, getattr(self, name), 'give a number from 0')
        require(
            self.restarts <= self.candidates + 1,
            'restarts',
            self.restarts,
            f'give at most one more than the {self.candidates} candidates',
        )


class Projection(typing.NamedTuple):
    """The result of a projection, or its state after some steps.

    Attributes:
      images: the images that the latents make, uint8 [N, H, W, C].
      distance: the distance that was minimised, without the regularisation of noise, [N].
      psnr: peak signal-to-noise ratio of the images against the targets [dB], [N].
      start: index of the start that each image came from, int [N]: 0 is the mean of W, others are samples.
      ws: the latents [N, L, W].
      noise: arrays [N, h, w, 1], one a layer up to the stage; empty unless they were optimised.
    """

    images: np.ndarray
    distance: np.ndarray
    psnr: np.ndarray
    start: np.ndarray
    ws: np.ndarray
    noise: tuple


def project(
    generator: Generator,
    targets: np.ndarray,
    *,
    discriminator: Discriminator | None = None,
    lpips: LPIPS | None = None,
    options: Options = Options(),
    label: directions.Label = None,
    lod: float = 0.0,
    every: int = 25,
    report: collections.abc.Callable[[int, Projection], None] = lambda step, found: None,
) -> Projection:
    """Finds latents that make the given images.

    Args:
      generator: a Generator with latents w.
      targets: uint8 [N, H, W, C] of the size that `lod` means; a batch has N times `options.restarts` images.
      discriminator: a Discriminator of the same training, whose features are compared; or None.
      lpips: an LPIPS, which is used in place of the discriminator; or None.
      options: the Options.
      label: of the samples of W near which latents are searched, see `editing.directions.mapped_samples`.
      lod: see `Generator.synthesize`.
      every: number of steps between reports.
      report: called with (steps done, Projection) during the optimisation and at its end.

    Raises:
      UserError: a shape does not fit, the network has no w or no noise inputs, or numbers became infinite.
    """
    problem, first = _posed(generator, targets, discriminator, lpips, options, label, lod)
    advance, show = _compiled(jax.devices()[0].platform)
    # The batch: which target, and which of its starts, each row belongs to.
    rows = np.repeat(np.arange(len(targets)), options.restarts)
    start = np.tile(np.arange(options.restarts), len(targets))
    scouting, step, chosen = options.steps // 10, 0, None
    with matmul_precision('float32'):
        state = _first_state(problem, first[rows, start], options)
        while step < options.steps:
            until = min(step + every, scouting if step < scouting else options.steps)
            state = advance(problem.of(rows), state, start, np.int32(until - step), options)
            step = until
            found = _described(show(problem.of(rows), state, options), targets, rows, start)
            # A start that has diverged loses against the others of its target.
            found = found._replace(distance=np.where(np.isfinite(found.distance), found.distance, np.inf))
            chosen = [
                min(np.flatnonzero(rows == row), key=lambda place: found.distance[place]) for row in range(len(targets))
            ]
            if not np.isfinite(found.distance[chosen]).all():  # of all starts of a target
                raise UserError(
                    f'projecting left the finite numbers after {step} steps',
                    field='rate',
                    value=f'{options.rate:g}',
                    remedy='give a lower one',
                )
            report(step, jax.tree.map(lambda x: x[chosen], found))
            if step == scouting:  # from here on only the best start of each target; arrays of no axis are shared
                state = jax.tree.map(lambda x: x[np.array(chosen)] if jnp.ndim(x) else x, state)
                rows, start = rows[chosen], start[chosen]
    return jax.tree.map(lambda x: x[chosen], found)


class _Problem(typing.NamedTuple):
    """The part of the projection that does not change in the loop; a pytree."""

    generator: Generator
    distance: Distance
    targets: dict  # `Distance.seen` of them
    noise: tuple  # the stored inputs; empty for none
    mean: jax.Array  # [W]
    basis: jax.Array  # [W, W]; coordinates of unit covariance, times it, are w - mean

    def of(self, rows):
        """Returns the problem of a batch whose rows have the targets of these numbers."""
        return self._replace(targets=jax.tree.map(lambda x: x[rows], self.targets))

    def synthesize(self, variables):
        """Returns the images [M, H, W, C] of variables."""
        return synthesize_images(
            self.generator.config,
            self.generator.params,
            self.ws(variables),
            variables['noise'] or self.noise,
            stage=self.distance.stage,
            alpha=self.distance.alpha,
        )

    def ws(self, variables):
        """Returns the latents [M, L, W] of variables."""
        w = self.mean + variables['place'] @ self.basis
        return jnp.broadcast_to(w, (w.shape[0], self.generator.num_ws, w.shape[2]))


class _State(typing.NamedTuple):
    variables: dict  # 'place' [M, 1 or L, W] in coordinates of unit covariance, and 'noise'
    adam: tuple
    step: jax.Array


def _posed(generator, targets, discriminator, lpips, options, label, lod):
    """Returns the _Problem, and the coordinates of each target's starts, [N, restarts, W]."""
    stage, alpha = stage_and_alpha(generator.config.image, lod)
    shape = (*generator.config.image.stage_shape(stage), generator.config.image.channels)
    if targets.dtype != np.uint8 or targets.ndim != 4 or targets.shape[1:] != shape:
        raise UserError(
            f'targets are {targets.dtype} {list(targets.shape)}',
            remedy='give uint8 [N, ' + ', '.join(map(str, shape)) + ']',
        )
    if options.noise == 'optimize' and not generator.config.use_noise:
        raise UserError(
            'this network has no noise inputs',
            field='noise',
            value=repr(options.noise),
            remedy="give 'const' or 'none'",
        )
    if discriminator is not None and discriminator.config.image != generator.config.image:
        raise UserError('the discriminator is for other images than the generator', remedy='leave it out')
    if lpips is not None and min(shape[:2]) < LPIPS_LEAST:
        raise UserError(f'LPIPS needs images of {LPIPS_LEAST} pixels or more; these are {shape[1]}x{shape[0]}')
    count = max(_SAMPLES, options.candidates)
    sampled = np.concatenate(
        [w for _, w in directions.mapped_samples(generator, count, seed=options.seed, label=label)]
    )
    moments = Moments.of(sampled)
    # Coordinates in which W has unit covariance, so that one learning rate suits all networks: w = mean + B x, where
    # the columns of B are the principal directions times their standard deviations.
    variances, vectors = np.linalg.eigh(moments.covariance())
    spread = np.sqrt(np.maximum(variances, _NARROWEST**2 * variances[-1]))
    dtype = generator.w_avg.dtype
    distance = Distance(discriminator, lpips, jnp.asarray(alpha, dtype), stage)
    problem = _Problem(
        generator,
        distance,
        distance.seen(_as_floats(targets, dtype)),
        () if options.noise == 'none' else generator.noise[: 2 * (stage + 1)],
        jnp.asarray(moments.mean, dtype),
        jnp.asarray((vectors * spread).T, dtype),
    )
    places = ((sampled[: options.candidates] - moments.mean) @ (vectors / spread)).astype(dtype)
    nearest = _nearest(problem, places, options.restarts - 1)
    return problem, np.concatenate([np.zeros((len(targets), 1, places.shape[1]), dtype), places[nearest]], axis=1)


def _nearest(problem, places, count):
    """Returns the indices of the places whose images are nearest to each target, the nearest first, [N, count]."""
    if not count:
        return np.zeros((len(problem.targets['pixels'][0]), 0), int)
    # LPIPS of every pair of candidate and target would take longer than the optimisation.
    problem = problem._replace(distance=dataclasses.replace(problem.distance, lpips=None))
    problem = problem._replace(
        targets=problem.targets | {'features': problem.distance.seen(problem.targets['pixels'][0])['features']}
    )
    pixels = np.prod(problem.targets['pixels'][0].shape[1:3])
    size = int(max(1, min(len(places), _PIXELS_AT_ONCE // pixels)))
    # The last piece repeats the last candidate, so that all pieces have one size and share one compiled function.
    found = [
        _distances_of_pairs(problem, places[np.minimum(np.arange(first, first + size), len(places) - 1)])
        for first in range(0, len(places), size)
    ]
    return np.argsort(np.concatenate(found, axis=1)[:, : len(places)], axis=1, kind='stable')[:, :count]


@jax.jit
def _distances_of_pairs(problem, places):
    """Returns the distance of each target from each candidate's image, [N, K]."""
    images = problem.synthesize({'place': places[:, None], 'noise': ()})
    found = problem.distance.seen(images)
    return jax.lax.map(
        lambda target: problem.distance.between(found, jax.tree.map(lambda x: x[None], target))[0], problem.targets
    )


def _first_state(problem, places, options):
    """Returns the state that starts at coordinates [M, W]."""
    layers = problem.generator.num_ws if options.space == 'w+' else 1
    noise = ()
    if options.noise == 'optimize':
        noise = normalized_noise([jnp.repeat(x, len(places), axis=0) for x in problem.noise])
    variables = {'place': jnp.repeat(jnp.asarray(places)[:, None], layers, axis=1), 'noise': noise}
    return _State(variables, _optimizer(options).init(variables), jnp.int32(0))


@functools.cache
def _compiled(platform):
    """Returns (_advance, _show), compiled with the options of a platform."""
    compiled = functools.partial(jax.jit, static_argnames='options', compiler_options=compiler_options(platform))
    return compiled(_advance), compiled(_show)


def _advance(problem, state, start, steps, options):
    """Takes some steps of Adam; `start` [M] is the index of the start that each row came from."""
    key = jax.random.fold_in(jax.random.key(options.seed), _JITTER)

    def objective(variables, shift):
        moved = variables | {'place': variables['place'] + shift}
        distance, _ = problem.distance(problem.synthesize(moved), problem.targets)
        return jnp.sum(distance + options.noise_weight * noise_regularization(variables['noise']))

    def step(_, state):
        # The jitter depends on the step and the start alone, so that no result depends on a place in the batch.
        keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.fold_in(key, state.step)))(start)
        shape = state.variables['place'].shape[1:]
        normal = jax.vmap(lambda key: jax.random.normal(key, shape, problem.mean.dtype))(keys)
        # StyleGAN2, Appendix D: the jitter falls to 0 as the square of the time that is left.
        left = jnp.maximum(0, 1 - state.step / (_JITTER_UNTIL * options.steps)) ** 2
        gradient = jax.grad(objective)(state.variables, (options.jitter * left).astype(normal.dtype) * normal)
        update, adam = _optimizer(options).update(gradient, state.adam)
        variables = optax.apply_updates(state.variables, update)
        return _State(variables | {'noise': normalized_noise(variables['noise'])}, adam, state.step + 1)

    return jax.lax.fori_loop(0, steps, step, state)


def _show(problem, state, options):
    """Returns (uint8 images, distance [M], ws [M, L, W], noise)."""
    images = problem.synthesize(state.variables)
    return (
        to_uint8_on_device(images),
        problem.distance(images, problem.targets)[0],
        problem.ws(state.variables),
        state.variables['noise'],
    )


def _described(shown, targets, rows, start):
    images, distance, ws, noise = jax.tree.map(np.asarray, shown)
    return Projection(images, distance, psnr(images, targets[rows]), start, ws, noise)


def psnr(images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the peak signal-to-noise ratio [dB] of uint8 images [N, H, W, C] against targets, [N]."""
    errors = np.mean((images.astype(np.float64) - targets) ** 2, axis=(1, 2, 3))
    with np.errstate(divide='ignore'):  # infinite where both are equal
        return 10 * np.log10(255**2 / errors)


def _optimizer(options):
    return optax.adam(functools.partial(_rate, options))


def _rate(options, step):
    """Returns the learning rate of a step: a linear rise, a constant part, and a fall as half a cosine wave."""
    done = step / options.steps
    up = jnp.minimum(1, (done + 1 / options.steps) / _RAMP_UP)
    down = 0.5 - 0.5 * jnp.cos(jnp.pi * jnp.minimum(1, (1 - done) / _RAMP_DOWN))
    return options.rate * up * down


def _as_floats(images, dtype):
    """Returns images in [-1, 1]: the middle of what `sampling.engine.to_uint8_on_device` rounds to each value."""
    return (images.astype(dtype) - 127.5) / 127.5
