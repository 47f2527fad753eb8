"""Curves over the images shown, as SVG elements of a page that take their colours from its style sheet.

matplotlib draws them: a plot is some 15 KB of SVG, whereas libraries that draw in the browser would put megabytes of
script into every report. The colours in matplotlib are placeholders, which become variables of the style sheet.
"""

import dataclasses
import io
import re
from collections.abc import Sequence

import numpy as np

from stylegan_jax.config.schedule import Span
from stylegan_jax.report.markup import Markup

WIDTH, HEIGHT = 400, 200  # of a plot at its natural size [CSS pixels]
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 18, 22  # margins [CSS pixels]; equal for all plots, so that one cursor fits all
COLOURS = 4  # --curve0 ... in the style sheet
_MOST_POINTS = 400  # of a curve
_VARIABLES = ['ink', 'muted', 'line', 'band', 'fade', *(f'curve{i}' for i in range(COLOURS))]
_STAND_INS = {name: f'#0100{number:02x}' for number, name in enumerate(_VARIABLES)}
_FONT_SIZE = 10.5  # [CSS pixels]


@dataclasses.dataclass(frozen=True)
class Curve:
    """Numbers over the images shown."""

    name: str
    kimg: np.ndarray  # [points], increasing
    values: np.ndarray  # [points], NaN where there is none
    errors: np.ndarray | None = None  # [points], standard errors


@dataclasses.dataclass(frozen=True)
class Plot:
    """Curves that share an axis."""

    title: str
    curves: list
    scale: str = 'linear'  # or 'zero' (linear, and begins at 0), or 'log'


def draw(plots: Sequence[Plot], spans: Sequence[Span], end: float) -> list[Markup]:
    """Draws plots.

    Args:
      plots: the plots.
      spans: the parts of the schedule, which are shaded.
      end: of the shared horizontal axis [kimg].

    Returns:
      An SVG element for each plot.
    """
    if not plots:
        return []
    import matplotlib  # it takes a second, and runs that have nothing to draw do without it
    import matplotlib.figure  # not pyplot, which would choose a backend for the whole program

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        return [_drawn(plot, f'plot{number}', spans, end, matplotlib) for number, plot in enumerate(plots)]


def thinned(x: np.ndarray, y: np.ndarray, most: int = _MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Leaves out points of a curve, but none of its peaks: of each piece the lowest and the highest point remain.

    Args:
      x, y: [points]; y may contain NaN.
      most: how many points remain.

    Returns:
      x and y of the points that remain.
    """
    if len(x) <= most:
        return x, y
    keep = set()
    for piece in np.array_split(np.arange(len(x)), most // 2):
        known = piece[np.isfinite(y[piece])]
        keep |= {known[np.argmin(y[known])], known[np.argmax(y[known])]} if len(known) else {piece[0]}
    keep = sorted(keep)
    return x[keep], y[keep]


def _drawn(plot, salt, spans, end, matplotlib):
    # Text is not converted to outlines. The salt makes the names of clip paths differ between the plots of a page.
    matplotlib.rcParams.update({'svg.fonttype': 'none', 'svg.hashsalt': salt, 'path.simplify_threshold': 0.2})
    figure = matplotlib.figure.Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72)
    axes = figure.add_axes(
        (LEFT / WIDTH, BOTTOM / HEIGHT, (WIDTH - LEFT - RIGHT) / WIDTH, (HEIGHT - TOP - BOTTOM) / HEIGHT)
    )
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    _shade(axes, spans, end)
    for number, curve in enumerate(plot.curves):
        colour = _STAND_INS[f'curve{number % COLOURS}']
        x, y = thinned(curve.kimg, curve.values)
        if plot.scale == 'log':
            y = np.where(y > 0, y, np.nan)
        axes.plot(x, y, color=colour, linewidth=1.5, marker='o' if np.isfinite(y).sum() <= 40 else None, markersize=2.6)
        if curve.errors is not None and len(x) == len(curve.values):
            axes.errorbar(x, y, curve.errors, color=colour, linewidth=0, elinewidth=1)
    _scale(axes, plot, matplotlib)
    axes.set_xlim(0, end)
    axes.grid(color=_STAND_INS['line'], linewidth=0.6)
    axes.tick_params(length=0, labelsize=_FONT_SIZE, labelcolor=_STAND_INS['muted'])
    axes.text(
        1, -0.025, 'kimg', transform=axes.transAxes, ha='right', va='top', size=_FONT_SIZE, color=_STAND_INS['muted']
    )
    ticks = [tick for tick in matplotlib.ticker.MaxNLocator(5).tick_values(0, end) if 0 <= tick <= 0.88 * end]
    axes.set_xticks(ticks, [f'{tick:g}' for tick in ticks])
    for spine in axes.spines.values():
        spine.set_visible(False)
    stream = io.StringIO()
    figure.savefig(stream, format='svg', metadata={'Creator': None, 'Date': None, 'Format': None, 'Type': None})
    return _inlined(stream.getvalue(), plot.title)


def _shade(axes, spans, end):
    """Shades the fades and every second resolution, and writes the resolution above."""
    shapes = list(dict.fromkeys(span.resolution for span in spans))
    for number, shape in enumerate(shapes):
        own = [span for span in spans if span.resolution == shape and span.from_kimg < end]
        for span in own:
            if span.kind == 'fade' or number % 2:
                axes.axvspan(
                    span.from_kimg,
                    min(span.to_kimg, end),
                    linewidth=0,
                    color=_STAND_INS['fade' if span.kind == 'fade' else 'band'],
                )
        if own:
            start, stop = own[0].from_kimg, min(own[-1].to_kimg, end)
            text = 'x'.join(map(str, shape)) if stop - start > 0.16 * end else str(shape[0])
            if stop - start > 0.06 * end:
                axes.text(
                    (start + stop) / 2,
                    1.03,
                    text,
                    transform=axes.get_xaxis_transform(),
                    ha='center',
                    size=_FONT_SIZE - 1,
                    color=_STAND_INS['muted'],
                )


def _scale(axes, plot, matplotlib):
    values = np.concatenate([curve.values for curve in plot.curves])
    values = values[np.isfinite(values)]
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f'{value:.6g}'))
    if plot.scale == 'log' and (positive := values[values > 0]).size:
        axes.set_yscale('log')
        low, high = positive.min() / 1.3, positive.max() * 1.3
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(
            matplotlib.ticker.LogLocator(
                subs=(1, 2, 5) if high / low < 100 else (1,), numticks=6 if high / low > 100 else 12
            )
        )
        axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f'{value:.6g}'))
        axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        return
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    if plot.scale == 'zero' and values.size:
        axes.set_ylim(0, max(values.max() * 1.1, 1e-12))


def _inlined(text, title):
    """Turns an SVG file's text into an element of a page, without names, styles or addresses that reach beyond it."""
    body = text[text.index('>', text.index('<svg')) + 1 : text.rindex('</svg>')]
    body = re.sub(r'<style.*?</style>', '', body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', '<g', body)
    body = re.sub(r'font: ([0-9.]+px) [^;"]*', r'font-size: \1', body)
    body = re.sub(r'\s*\n\s*', ' ', body).replace('xlink:href', 'href')
    for name, colour in _STAND_INS.items():
        body = body.replace(colour, f'var(--{name})')
    title = re.sub(r'[^\w .-]', ' ', title)
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{body}</svg>')
