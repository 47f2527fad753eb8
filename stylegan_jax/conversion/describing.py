"""What a file of networks is, in a few lines for people."""

import os

import jax

from stylegan_jax.config.network import ImageConfig, stage_and_alpha
from stylegan_jax.conversion.forms import FORMS
from stylegan_jax.errors import UserError
from stylegan_jax.networks.generator import Generator
from stylegan_jax.storage import loading
from stylegan_jax.storage.stored_networks import StoredNetworks

_MOST_NAMES = 12  # of labels, in a line


def describe(path: str | os.PathLike) -> list[str]:
    """Returns lines that say what a path holds: its form, networks, sizes, parameters, and how long it was trained.

    Args:
      path: whatever `stylegan_jax.load` reads, or a file of another form that is written here.

    Raises:
      UserError: the path does not exist, is damaged, or is none of these.
    """
    path = os.fspath(path)
    ending = os.path.splitext(path)[1].lower()
    form = next((form for form in FORMS.values() if form.describe and ending in form.endings), None)
    if form is not None:
        if not os.path.isfile(path):
            raise UserError(f'{path}: no such file')
        return [f'{path}: {form.about}, {megabytes(os.path.getsize(path))}', *form.describe(path)]
    stored = loading.open_networks(path)
    # Of a file without any the loading says what it holds.
    networks = {name: stored.load(name) for name in stored.names or ('ema',)}
    config = next(iter(networks.values())).config
    return [
        f'{path}: {stored.form}, {megabytes(_size(stored))}',
        f'images: {_images(networks, config.image)}; {progress(stored.lod, stored.nimg, config.image)}',
        *(f'{name}: {_network(network)}' for name, network in networks.items()),
    ]


def megabytes(nbytes: int) -> str:
    """Returns a size for people, such as '1.5 MB'."""
    return f'{nbytes / 1e6:.3g} MB'


def _size(stored: StoredNetworks):
    """Bytes of the file, or of all files of the folder."""
    place = stored.place or stored.path
    if os.path.isfile(place):
        return os.path.getsize(place)
    return sum(os.path.getsize(os.path.join(where, file)) for where, _, files in os.walk(place) for file in files)


def _images(networks, image):
    height, width, channels = image.shape
    colours = {1: 'grey', 3: 'RGB'}.get(channels, f'{channels} channels')
    if not image.label_dim:
        return f'{height}x{width}, {colours}, no labels'
    meanings = (getattr(network, 'label_meaning', None) for network in networks.values())
    names = next((meaning.names for meaning in meanings if meaning and meaning.names), ())
    listed = ', '.join(names[:_MOST_NAMES]) + (', ...' if len(names) > _MOST_NAMES else '')
    return f'{height}x{width}, {colours}, labels of {image.label_dim}' + (f' ({listed})' if names else '')


def progress(lod: float, nimg: int | None, image: ImageConfig) -> str:
    """Returns words about how far a training has come, such as 'trained on 80,000 images, to 16x16'."""
    stage, alpha = stage_and_alpha(image, lod)
    height, width = image.stage_shape(stage)
    fading = '' if alpha == 1 else f' (level of detail {lod:.3g}, in a fade)'
    length = 'length of training not known' if nimg is None else f'trained on {nimg:,} images'
    return f'{length}, at {height}x{width}{fading}'


def _network(network):
    config = network.config
    kind = {'stylegan': 'StyleGAN', 'progan': 'Progressive GAN'}.get(config.architecture, config.architecture)
    parameters = sum(array.size for array in jax.tree.leaves(network.params))
    counted = f'{parameters:,} parameters in {len(jax.tree.leaves(network.params))} arrays'
    if not isinstance(network, Generator):
        return f'discriminator ({kind}), {counted}'
    mapping = f', w {network.w_dim} after {config.mapping_layers} layers' if config.mapping_layers else ''
    return f'generator ({kind}), z {network.z_dim}{mapping}, {config.num_layers} layers of synthesis, {counted}'
