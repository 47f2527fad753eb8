"""The choice of the plots in a report, and the numbers beside them."""

import math

import numpy as np

from stylegan_jax.metrics.ways import by_way
from stylegan_jax.report.plots import Curve, Plot
from stylegan_jax.report.reading import Run, number

_PLOTS = [
    ('Losses', 'linear', ['g_loss', 'd_loss']),
    ('Scores of real and generated images (logits)', 'linear', ['real_logits', 'fake_logits']),
    (
        'Scores of images in training, held-out and generated (logits)',
        'linear',
        ['watch_train_logits', 'watch_validation_logits', 'watch_fake_logits'],
    ),
    (
        'Overfitting: r_v, and mean signs of the scores of images that are not augmented',
        'linear',
        ['overfitting', 'watch_train_signs', 'validation_signs'],
    ),
    (
        'Augmentation: probability, and mean sign of the scores of augmented images',
        'linear',
        ['augment_p', 'real_signs'],
    ),
    ('Norms of the gradients', 'log', ['g_gradient_norm', 'd_gradient_norm']),
    ('Gradient penalties', 'linear', ['r1_penalty', 'r2_penalty']),
    ('Path length', 'zero', ['path_length']),
    ('Path length penalty', 'linear', ['path_length_penalty']),
    ('Hinge loss of the probe that separates labels', 'zero', ['separation_loss']),
    ('Length of w, and distance from the average', 'zero', ['w_norm', 'w_spread']),
    ('Images per second', 'log', ['images_per_second']),
    ('Learning rate', 'zero', ['lr']),
    ('Memory [GiB]', 'zero', ['host_memory_gib', 'device_memory_gib']),
    ('Share of steps that were skipped', 'zero', ['g_skipped', 'd_skipped']),
]
_IN_NO_PLOT = (
    *('tick', 'nimg', 'kimg', 'lod', 'alpha', 'batch'),
    *('seconds', 'tick_seconds', 'maintenance_seconds', 'waited_seconds', 'seconds_left', 'seconds_left_at_most'),
)
_MOST_METRICS, _MOST_OTHERS = 12, 6  # plots of metrics, and of unknown numbers: a limit for the size of the page
_MOST_WAYS = 4  # curves of one metric


def plots(run: Run) -> list[Plot]:
    """Lists the plots of a run: its metrics, the numbers that every run logs, and other numbers of its log.

    Args:
      run: the records of the run.

    Returns:
      The plots for which there are numbers.
    """
    kimg = np.array([entry['nimg'] / 1000 for entry in run.entries])

    def curves(names):
        found = [Curve(name, kimg, np.array([number(entry.get(name)) for entry in run.entries])) for name in names]
        return [curve for curve in found if np.isfinite(curve.values).any()]

    known = {name for _, _, names in _PLOTS for name in names} | {*_IN_NO_PLOT}
    others = dict.fromkeys(name for entry in run.entries[-1:] for name in entry if name not in known)
    listed = [Plot(title, curves(names), scale) for title, scale, names in _PLOTS]
    others = [plot for plot in (Plot(name, curves([name])) for name in others) if plot.curves]
    found = _metric_plots(run) + [plot for plot in listed if plot.curves and not _is_dull(plot)]
    return found + others[:_MOST_OTHERS]


def at(curve: Curve, kimg: float) -> str:
    """Returns a curve's number at a place as text: the value of the last point up to there."""
    index = np.searchsorted(curve.kimg, kimg + 1e-9) - 1
    value = curve.values[index] if index >= 0 else math.nan
    return f'{value:.4g}' if math.isfinite(value) else '–'


def _metric_plots(run):
    listed = []
    for name, of_ways in list(by_way(run.metrics).items())[:_MOST_METRICS]:
        curves = [_metric_curve(words or name, results) for words, results in list(of_ways.items())[:_MOST_WAYS]]
        curves = [curve for curve in curves if np.isfinite(curve.values).any()]
        listed += [Plot(name, curves)] if curves else []
    return listed


def _metric_curve(name, results):
    results = {result['nimg']: result for result in results}.values()  # the last one that was measured of each
    kimg, values, errors = (
        np.array([number(result.get(key)) for result in results]) for key in ('nimg', 'value', 'standard_error')
    )
    return Curve(name, kimg / 1000, values, errors if np.isfinite(errors).any() else None)


def _is_dull(plot):
    """Whether a plot would only show that no step was skipped."""
    return plot.curves[0].name.endswith('_skipped') and not any(np.nansum(curve.values) for curve in plot.curves)
