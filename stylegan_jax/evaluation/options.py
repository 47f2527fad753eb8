"""How to measure: the settings that the values of metrics depend on, and where weights are."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
      seed: of everything that is random.
      psi: truncation of the generated images; 1 is none, as for published numbers.
      mirror: whether real images are mirrored at random, as they are in training.
      resize: how images get the size of Inception: 'legacy', 'clean' or 'half_pixel'.
      precision: of samples and features: 'float32' (exact products) or 'bfloat16'. Path lengths are always float32.
      crop: whether path lengths are of the face in aligned pictures.
      ddof: 1 or 0: whether covariances divide by N - 1, as in official StyleGAN, or by N.
      solver: of separability, see `metrics.separability.SOLVERS`.
      batch: number of images per dispatch, rounded up to a multiple of four per device; None for one that suits the
        devices.
      inception, vgg: paths of weights; None for where `feature_networks.catalogue` finds them. A vgg of 'random' makes
        path lengths that differ from published ones, and whose results name the network so.
      classifiers: paths of classifiers for 'ls', or 'toy_faces'.
      download: whether missing weights are downloaded.
    """

    seed: int = 0
    psi: float = 1.0
    mirror: bool = False
    resize: str = 'legacy'
    precision: str = 'float32'
    crop: bool = False
    ddof: int = 1
    solver: str = 'official'
    batch: int | None = None
    inception: str | None = None
    vgg: str | None = None
    classifiers: tuple[str, ...] = ('toy_faces',)
    download: bool = False
