"""The geometry of W: where mapped latents lie, in which directions they spread, which directions change an attribute.

No images here: which samples have an attribute is known from the logits of a classifier, which callers pass.
"""

import collections.abc
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks
from stylegan_jax.metrics.moments import Moments
from stylegan_jax.metrics.separability import separate
from stylegan_jax.networks.generator import Generator
from stylegan_jax.sampling.latents import draw_latents

# A class, a function of numbers of samples that returns labels, or None for zeros.
Label = int | collections.abc.Callable[[np.ndarray], np.ndarray] | None
_PIECE = 4096  # latents that are mapped at a time
_SMALLEST = 1e-9  # share of a variance; smaller ones are rounding errors


@dataclasses.dataclass(frozen=True, eq=False)
class Directions:
    """Named directions of W.

    Each is defined by the normal of a plane. Latents do not move along the normal: most of it may lie where W hardly
    spreads, so that images there are unlike those of the training. They move along the covariance times the normal,
    which is the shortest way across the plane if distances are measured in standard deviations of W. For principal
    directions, which are eigenvectors of the covariance, both are the same.

    Attributes:
      names: the names, a tuple of D str, all different.
      normals: of unit length, [D, W]; they point to the side where the attribute is.
      moments: Moments of W.
    """

    names: tuple[str, ...]
    normals: np.ndarray
    moments: Moments

    def __post_init__(self):
        checks.matrix(self.normals, 'normals of directions', columns=len(self.moments.mean))
        if len(self.names) != len(self.normals):
            raise UserError(
                f'directions: {len(self.names)} names for {len(self.normals)} normals', remedy='give as many'
            )
        if len(set(self.names)) < len(self.names):
            raise UserError('directions: two of them have the same name: ' + ', '.join(self.names))

    def normal(self, name: str) -> np.ndarray:
        """Returns the normal [W] of a direction; raises UserError if there is no such direction."""
        if name not in self.names:
            raise UserError(f'direction {name!r} does not exist; there are {", ".join(self.names)}')
        return self.normals[self.names.index(name)]

    def step(self, name: str, without: collections.abc.Sequence[str] = ()) -> np.ndarray:
        """Computes the step that moves w by one standard deviation across the plane of a direction.

        Args:
          name: of the direction.
          without: names of other directions; the step keeps the distances of w from their planes. It is then one
            standard deviation of what is left of the direction, and crosses its plane by less: the less, the more of
            the direction the others explain.

        Returns:
          [W], to be added to w.

        Raises:
          UserError: there is no such direction, or nothing is left of it.

        Reference: Shen et al. 2020, "Interpreting the Latent Space of GANs for Semantic Face Editing", Section 3.3
        ("conditional manipulation"), there with distances in w itself.
        """
        covariance, normal = self.moments.covariance(), self.normal(name)
        variance = normal @ covariance @ normal
        others = np.array([self.normal(other) for other in without if other != name])
        if len(others):
            # The part of the normal that is uncorrelated with the others: a projection in the inner product of the
            # covariance C. Least squares, since others that depend on one another make N C N' singular.
            shares = np.linalg.lstsq(others @ covariance @ others.T, others @ covariance @ normal, rcond=None)[0]
            normal = normal - shares @ others
        moved = covariance @ normal
        left = normal @ moved
        if not left > _SMALLEST * variance:
            if len(others):
                raise UserError(
                    f'direction {name!r}: nothing of it is left without {", ".join(without)}', remedy='name fewer'
                )
            raise UserError(f'direction {name!r}: W does not spread along it')
        # Moving by C n changes n' w by n' C n, which is the variance, so C n / sqrt(n' C n) is one standard deviation.
        return moved / np.sqrt(left)


def mapped_samples(
    generator: Generator, count: int, *, seed: int = 0, label: Label = None
) -> collections.abc.Iterator[tuple[np.ndarray, np.ndarray]]:
    """Maps random latents, a piece at a time.

    Args:
      generator: a Generator with a mapping network, or with an input for w.
      count: number of latents.
      seed: see `draw_latents`.
      label: class index, a function of the numbers of samples [n] that returns their labels [n, K] (such as a
        `sampling.seed_labels.SeedLabels`), or None for zeros.

    Yields:
      (z [n, Z], w [n, W]), arrays in host memory.

    Raises:
      UserError: the network is Progressive GAN's, which has no w, or has no such class.
    """
    for start in range(0, count, _PIECE):
        size = min(_PIECE, count - start)
        z = draw_latents(seed, start, size, generator.z_dim)
        labels = label(np.arange(start, start + size)) if callable(label) else label
        w = generator.map(z, jnp.full(size, labels) if isinstance(labels, int) else labels)
        yield np.asarray(z), np.asarray(w)


def statistics(generator: Generator, count: int, *, seed: int = 0, label: Label = None) -> Moments:
    """Returns the Moments (mean and covariance) of W; see `mapped_samples`."""
    moments = Moments.empty(generator.w_dim)
    for _, w in mapped_samples(generator, count, seed=seed, label=label):
        moments = moments.add(w)
    return moments


def principal_directions(moments: Moments, count: int | None = None) -> Directions:
    """Finds the directions in which W spreads most, the widest first.

    Args:
      moments: Moments of W.
      count: number of directions; None for all.

    Returns:
      Directions 'pc0', 'pc1', ...; the largest component of each is positive, which makes signs definite.

    Raises:
      UserError: W has fewer dimensions, or there are fewer than two samples.

    Reference: Harkonen et al. 2020, "GANSpace: Discovering Interpretable GAN Controls".
    """
    size = len(moments.mean)
    count = size if count is None else count
    if not 1 <= count <= size:
        raise UserError(f'W has {size} dimensions', field='count', value=count, remedy=f'give from 1 to {size}')
    # eigh sorts eigenvalues in rising order and returns eigenvectors as columns.
    vectors = np.linalg.eigh(moments.covariance())[1].T[::-1][:count]
    largest = np.take_along_axis(vectors, np.argmax(np.abs(vectors), axis=1)[:, None], axis=1)
    return Directions(tuple(f'pc{number}' for number in range(count)), vectors * np.sign(largest), moments)


def attribute_directions(
    w: np.ndarray,
    logits: np.ndarray,
    names: collections.abc.Sequence[str],
    *,
    keep: int | None = None,
    solver: str = 'primal',
    seed: int = 0,
) -> Directions:
    """Finds the direction of each attribute from the plane that separates samples with it from those without.

    Args:
      w: samples [N, W].
      logits: of classifiers, [N, A], positive where a sample's image has the attribute.
      names: of the attributes, A str.
      keep, solver, seed: see `metrics.separability.separability`.

    Returns:
      Directions; attributes that all samples have, or none, are left out, since no plane separates them.

    Raises:
      UserError: shapes do not fit, or no attribute can be separated.

    Reference: Shen et al. 2020, Section 3.2.
    """
    moments, logits = Moments.of(w), checks.matrix(logits, 'logits of attributes', columns=len(names))
    normals = {}
    for name, of_one in zip(names, logits.T):
        weights = separate(w, of_one, keep=keep, solver=solver, seed=seed).weights
        if np.any(weights):
            normals[name] = weights / np.linalg.norm(weights)
    if not normals:
        raise UserError(
            f'no direction for {", ".join(names)}: all samples have each, or none has',
            remedy='take more samples',
        )
    return Directions(tuple(normals), np.array(list(normals.values())), moments)


def move(
    ws: jax.Array | np.ndarray,
    step: np.ndarray,
    strength: float | np.ndarray,
    layers: collections.abc.Iterable[int] | None = None,
) -> jax.Array:
    """Moves latents along a direction.

    Args:
      ws: [N, L, W].
      step: [W], one standard deviation along it (`Directions.step`).
      strength: in standard deviations; a number, or [N].
      layers: which layers move, such as range(4); None for all.

    Returns:
      The moved latents [N, L, W].

    Raises:
      UserError: a layer does not exist, or the sizes of W differ.
    """
    ws = jnp.asarray(ws)
    if ws.ndim != 3 or ws.shape[2] != len(step):
        raise UserError(f'ws of shape {ws.shape} and a direction of {len(step)} values; both need the same W')
    layers = range(ws.shape[1]) if layers is None else list(layers)
    wrong = [layer for layer in layers if not 0 <= layer < ws.shape[1]]
    if wrong:
        raise UserError(f'layer {wrong[0]} does not exist; these ws have layers 0 to {ws.shape[1] - 1}')
    moved = np.isin(np.arange(ws.shape[1]), list(layers))[:, None]
    strength = jnp.broadcast_to(jnp.asarray(strength, ws.dtype), ws.shape[:1])[:, None, None]
    return jnp.where(moved, ws + strength * jnp.asarray(step, ws.dtype), ws)
