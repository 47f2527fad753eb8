"""The parts of the page that show pictures and curves: their sections, and the data that the page's script needs.

The slider and the plots share a cursor (page.js): moving one shows the sample grid and the numbers of the same place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stylegan_jax.report import curves, plots, reading
from stylegan_jax.report.markup import Markup, element, joined

REALS = 'reals.png'


def samples(shown: Sequence[tuple[int, str]], encoded: Mapping[str, tuple[str, int, int]]) -> Markup:
    """Builds the section of the sample grids.

    Args:
      shown: (images shown, file name) of each grid, in increasing order.
      encoded: {file name: (data URI, width, height)}, see `Pictures.take`.

    Returns:
      The section, with a slider if there is a grid, and with the training images if they are there.
    """
    if not shown:
        pictures = element('p', 'No samples yet.', class_='muted')
    else:
        images = [
            _image(encoded[file], f'samples at {nimg / 1000:g} kimg', hidden=number < len(shown) - 1)
            for number, (nimg, file) in enumerate(shown)
        ]
        last = len(shown) - 1
        pictures = joined(
            element('div', images, id='grids'),
            element(
                'div',
                element('button', 'Play', id='play', type='button'),
                element(
                    'input',
                    type='range',
                    id='slider',
                    min=0,
                    max=last,
                    value=last,
                    step=1,
                    aria_label='which sample grid',
                ),
                element('output', id='where', for_='slider'),
                class_='controls',
            ),
        )
    reals = (
        element(
            'details',
            element('summary', 'Training images in the same layout'),
            _image(encoded[REALS], 'training images'),
        )
        if REALS in encoded
        else None
    )
    return element('section', element('h2', 'Samples'), pictures, reals)


def _image(picture, text, hidden=False):
    address, width, height = picture
    return element('img', src=address, width=width, height=height, alt=text, hidden=hidden)


def curve_plots(run: reading.Run, drawn: Sequence[plots.Plot], end: float) -> Markup:
    """Builds the section of the plots, whose horizontal axes end at `end` [kimg]."""
    if not drawn:
        return element('section', element('h2', 'Curves'), element('p', 'No tick yet.', class_='muted'))
    figures = []
    # The script sets --at, from 0 to 1 along the horizontal axis, for the cursors of all plots at once.
    cursor = (
        f'left: calc({plots.LEFT / plots.WIDTH * 100:.3f}% + '
        f'{(plots.WIDTH - plots.LEFT - plots.RIGHT) / plots.WIDTH * 100:.3f}% * var(--at, 1)); '
        f'top: {plots.TOP / plots.HEIGHT * 100:.3f}%; bottom: {plots.BOTTOM / plots.HEIGHT * 100:.3f}%'
    )
    for plot, svg in zip(drawn, plots.draw(drawn, run.spans, end), strict=True):
        legend = [
            element(
                'span',
                element('i', style=f'background: var(--curve{number % plots.COLOURS})'),
                curve.name,
                ' ',
                element('b', curves.at(curve, end), data_curve=_key(plot, curve)),
            )
            for number, curve in enumerate(plot.curves)
        ]
        figures.append(
            element(
                'figure',
                element('figcaption', element('strong', plot.title), legend),
                element('div', svg, element('div', class_='cursor', style=cursor), class_='canvas'),
            )
        )
    hint = 'Fades to a higher resolution are shaded; the resolution is above. A click moves the samples there.'
    return element(
        'section', element('h2', 'Curves'), element('p', hint, class_='muted'), element('div', figures, class_='plots')
    )


def script_data(
    run: reading.Run, shown: Sequence[tuple[int, str]], drawn: Sequence[plots.Plot], end: float
) -> dict[str, Any]:
    """Returns the data for the page's script; lists have one value for each picture in `shown`."""
    entries = {entry['nimg']: entry for entry in run.entries}
    kimg = [nimg / 1000 for nimg, _ in shown]
    return {
        'captions': [_caption(nimg, file, entries.get(nimg, {})) for nimg, file in shown],
        'kimg': kimg,
        'end': end,
        'left': plots.LEFT / plots.WIDTH,
        'width': (plots.WIDTH - plots.LEFT - plots.RIGHT) / plots.WIDTH,
        'curves': {
            _key(plot, curve): [curves.at(curve, place) for place in kimg] for plot in drawn for curve in plot.curves
        },
    }


def _caption(nimg, file, entry):
    alpha = reading.number(entry.get('alpha'))
    fade = f', fading in at alpha {alpha:.2f}' if alpha < 1 else ''
    return f'{nimg / 1000:g} kimg' + (f', {entry["resolution"]}{fade}' if 'resolution' in entry else '') + f' ({file})'


def _key(plot, curve):
    return f'{plot.title}/{curve.name}'
