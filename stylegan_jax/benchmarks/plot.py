"""A roofline plot: the share of the device's rate that each case reaches, below the limits of memory and arithmetic."""

from __future__ import annotations

import math
import os
import typing
from collections.abc import Mapping, Sequence

from stylegan_jax.errors import UserError

if typing.TYPE_CHECKING:
    from stylegan_jax.benchmarks.device import DeviceRates

_COLOR, _GREY = '#1f5fa8', '0.45'
_MARKERS = 'os^DvPX*'


def roofline(path: str | os.PathLike, results: Sequence[Mapping[str, typing.Any]], rates: DeviceRates, title: str):
    """Draws results into a PNG file.

    Args:
      path: of the file.
      results: of `train.measure` or `generate.measure`.
      rates: the limits of the device.
      title: a line about what was measured, and one about the machine.

    Raises:
      UserError: the file cannot be written.
    """
    pyplot, ticker = _pyplot()
    intensities = [result['flops_per_image'] / result['bytes_per_image'] for result in results]
    shares = [result['share_of_matrix_rate'] for result in results]
    balance = rates.flops / rates.bandwidth  # operations per byte at which both limits meet
    left, right = min([*intensities, balance]) / 2, max([*intensities, balance]) * 2
    bottom = min([*shares, left / balance]) / 1.5
    figure, axes = pyplot.subplots(figsize=(8.5, 4.5), dpi=150, layout='constrained')
    try:
        _draw_limits(axes, rates, balance, left, right)
        _draw_points(axes, results, intensities, shares)
        axes.set(
            xscale='log',
            yscale='log',
            xlim=(left, right),
            ylim=(bottom, 1.5),
            xlabel='model FLOP per byte moved',
            ylabel='share of the measured matrix rate',
        )
        for axis, (low, high), write in ((axes.xaxis, (left, right), '{:g}'), (axes.yaxis, (bottom, 1.5), '{:.3g}')):
            axis.set_ticks(_round_numbers(low, high))
            axis.set_major_formatter(lambda number, _, write=write: write.format(number))
            axis.set_minor_locator(ticker.NullLocator())
        axes.grid(color='0.9', linewidth=0.6)
        axes.set_axisbelow(True)
        figure.suptitle(title, fontsize=9, x=0.01, ha='left')
        if results:
            figure.legend(loc='outside right center', fontsize=8, frameon=False)
        figure.savefig(path, format='png')
    except OSError as error:
        raise UserError(error.strerror or str(error), field='plot', value=path) from None
    finally:
        pyplot.close(figure)


def _draw_limits(axes, rates, balance, left, right):
    """Draws the two limits of the device, bandwidth and products, each with its rate."""
    axes.plot([left, balance, right], [left / balance, 1, 1], color=_GREY, linewidth=1.2)
    for x, y, text, side in (
        (right, 1, f'{rates.flops / 1e12:,.3g} TFLOP/s', 'right'),
        (left, left / balance, f'{rates.bandwidth / 1e9:,.0f} GB/s', 'left'),
    ):
        axes.annotate(
            text,
            (x, y),
            (4 if side == 'left' else -4, -14),
            textcoords='offset points',
            ha=side,
            color=_GREY,
            fontsize=8,
        )


def _draw_points(axes, results, intensities, shares):
    """Draws a point for each result. Points are often close together, so that a legend names them."""
    for number, (result, intensity, share) in enumerate(zip(results, intensities, shares)):
        axes.scatter(
            intensity,
            share,
            marker=_MARKERS[number % len(_MARKERS)],
            color=_COLOR,
            s=34,
            zorder=3,
            label=f'{result["resolution"]} px, batch {result["batch"]}: {result["images_per_second"]:,.3g} images/s',
        )


def _round_numbers(low, high):
    """1, 2, 5, 10, 20, 50, ... within a range."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    numbers = [digit * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)]
    return [number for number in numbers if low <= number <= high]


def _pyplot():
    import matplotlib  # it takes a second, and measurements without a plot do without it

    matplotlib.use('Agg')  # draws without a display
    from matplotlib import pyplot, ticker

    return pyplot, ticker
