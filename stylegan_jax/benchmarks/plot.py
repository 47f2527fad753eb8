"""A roofline: the share of the device's rate that each case reaches, over what memory allows it to reach.

The only file that needs matplotlib.
"""
from stylegan_jax.errors import UserError

_COLOR, _GREY = '#1f5fa8', '0.45'


def roofline(path, results, rates, title):
    """Draws results into a PNG file.

    Args:
      path: of the file.
      results: dicts from `train.measure` or `generate.measure`.
      rates: DeviceRates.
      title: a line about what was measured, and one about the machine.

    Raises:
      UserError: matplotlib is not installed, or the file cannot be written.
    """
    pyplot = _pyplot()
    intensities = [result['flops_per_image'] / result['bytes_per_image'] for result in results]
    shares = [result['share_of_matrix_rate'] for result in results]
    balance = rates.flops / rates.bandwidth              # operations per byte where both limits meet
    left, right = min([*intensities, balance]) / 3, max([*intensities, balance]) * 3
    figure, axes = pyplot.subplots(figsize=(7, 4.5), dpi=150, layout='constrained')
    try:
        axes.plot([left, balance, right], [left / balance, 1, 1], color=_GREY, linewidth=1.2)
        # What is printed on the roof goes where no case stands.
        axes.annotate(f'{rates.flops / 1e12:.3g} TFLOP/s', (right, 1), (-4, 4), textcoords='offset points',
                      ha='right', va='bottom', color=_GREY, fontsize=8)
        axes.annotate(f'{rates.bandwidth / 1e9:.3g} GB/s', (left, left / balance), (4, 14), textcoords='offset points',
                      ha='left', va='bottom', color=_GREY, fontsize=8)
        axes.scatter(intensities, shares, color=_COLOR, s=28, zorder=3)
        for result, intensity, share in zip(results, intensities, shares):
            axes.annotate(f'{result["resolution"]} px, batch {result["batch"]}\n'
                          f'{result["images_per_second"]:.3g} images/s', (intensity, share), (7, 0),
                          textcoords='offset points', va='center', fontsize=8)
        axes.set(xscale='log', yscale='log', xlim=(left, right), ylim=(min([*shares, left / balance]) / 2, 2),
                 xlabel='model FLOP per byte moved', ylabel='share of the measured matrix rate')
        axes.yaxis.set_major_formatter(lambda share, _: f'{share:.4g}')
        axes.xaxis.set_major_formatter(lambda intensity, _: f'{intensity:g}')
        axes.grid(which='major', color='0.9', linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_title(title, fontsize=9, loc='left')
        figure.savefig(path, format='png')
    except OSError as error:
        raise UserError(f'--plot={path}: {error.strerror}') from None
    finally:
        pyplot.close(figure)


def _pyplot():
    try:
        import matplotlib
        matplotlib.use('Agg')
        from matplotlib import pyplot
    except ImportError:
        raise UserError("--plot: matplotlib is not installed; run pip install -e '.[plot]'") from None
    return pyplot


def check_installed():
    """Raises the UserError of a missing matplotlib, before anything is measured."""
    _pyplot()
