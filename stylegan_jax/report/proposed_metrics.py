"""The choice of metrics that a report proposes: those that can be measured on the images of the run."""

from stylegan_jax.data.dataset import TOY_FACES_COUNT
from stylegan_jax.report.reading import Run, number

_TOY_SIDE = 32  # pixels: the classifier behind fd_toy takes this size, and larger ones
_COLOURS = 1, 3  # numbers of channels that Inception takes
_TOY, _FID = 5_000, 50_000  # real images that fd_toy and fid50k need
_FEW = 5_000  # with fewer, a Frechet distance says more about their number than about the images


def proposed(run: Run) -> list[str]:
    """Returns the flags that measure the network of a run; none if no metric fits its images.

    Args:
      run: the records of the run.
    """
    config = run.config
    if config is None:
        return []
    if config.metrics:
        return [f'--metrics={config.metrics}']
    images = _num_images(run, config)
    if config.data.source == 'toy_faces' and config.image.resolution >= _TOY_SIDE:
        return ['--metrics=fd_toy' if images >= _TOY else '--metrics=fd_toy_full']
    if config.image.channels not in _COLOURS:
        return []
    # Where the number is not known, all images are compared with, however many there are.
    name = 'fid50k' if images >= _FID else 'kid10k_full' if 0 < images < _FEW else 'fid50k_full'
    return [f'--metrics={name}', '--download']


def _num_images(run, config):
    """Returns how many images a run trains on; 0 if it did not note that."""
    noted = number(run.newest('machine').get('images'))
    if noted >= 0:  # NaN, of a run without the number, fails this
        return round(noted)
    return config.data.count or (TOY_FACES_COUNT if config.data.source == 'toy_faces' else 0)
