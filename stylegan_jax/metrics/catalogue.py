"""All metrics that can be asked for by name.

To add a metric:

1. Write its file in `metrics/`: a function of arrays that returns numbers, and a `kind.MetricKind` that describes the
   names of the metric, the samples, the feature network and the outputs of it that the function needs, and how the
   function is called on them. `diversity.py` is a short example.
2. Add a line to `METRICS`, and its names to the table in README.md and to the help of the command `evaluate`.
3. Test the function against numbers of another implementation in `tests/metrics/`.

The command, runs in training, names, progress bars, results and their comparison need nothing else. A feature network
that none of the others uses gets a method in `evaluation/feature_outputs.py` and a line in its `_loaders`; an output
that no metric used yet comes from the method of its network there.
"""

from stylegan_jax.metrics import (
    diversity,
    equivariance,
    frechet,
    inception_score,
    kernel_distance,
    path_length,
    precision_recall,
    separability,
    sticking,
)
from stylegan_jax.metrics.kind import MetricKind

METRICS: tuple[MetricKind, ...] = (
    frechet.FID,
    kernel_distance.KID,
    inception_score.IS,
    precision_recall.PR,
    *path_length.PPL,
    separability.LS,
    diversity.DIVERSITY,
    sticking.STICKING,
    equivariance.EQT,
    frechet.FD_TOY,
)
