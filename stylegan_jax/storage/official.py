"""Official StyleGAN and Progressive GAN networks: their settings and weights under this project's names.

`official_pickle` reads the pickle itself.
"""

import os
import re

import numpy as np

from stylegan_jax.config.network import DiscriminatorConfig, GeneratorConfig, ImageConfig
from stylegan_jax.errors import UserError, in_one_line
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.layers import stage_name
from stylegan_jax.runtime.bounded_pickle import shown
from stylegan_jax.storage import official_pickle
from stylegan_jax.storage.stored_networks import StoredNetworks

FORM = 'an official pickle'

_STYLEGAN2 = {'G_main', 'G_mapping', 'G_synthesis', 'G_synthesis_stylegan2', 'G_synthesis_stylegan_revised'} | {
    'D_main',
    'D_stylegan2',
    'D_stylegan',
}  # functions that build the networks of StyleGAN2 and of StyleGAN2-ADA in TensorFlow
_NUMBERS = (bool, int, float, np.number, np.bool_)
_NEVER = 1 << 30  # flip_from of a network whose up convolutions are nowhere fused: beyond any size

# Official argument -> field of GeneratorConfig or DiscriminatorConfig, with the official default.
_STYLE_GENERATOR = {
    'latent_size': ('z_dim', 512),
    'dlatent_size': ('w_dim', 512),
    'mapping_layers': ('mapping_layers', 8),
    'mapping_fmaps': ('mapping_fmaps', 512),
    'mapping_lrmul': ('mapping_lr_multiplier', 0.01),
    'mapping_nonlinearity': ('mapping_nonlinearity', 'lrelu'),
    'normalize_latents': ('normalize_latents', True),
    'fmap_base': ('fmap_base', 8192),
    'fmap_decay': ('fmap_decay', 1.0),
    'fmap_max': ('fmap_max', 512),
    'use_styles': ('use_styles', True),
    'const_input_layer': ('const_input', True),
    'use_noise': ('use_noise', True),
    'use_pixel_norm': ('use_pixel_norm', False),
    'use_instance_norm': ('use_instance_norm', True),
    'nonlinearity': ('nonlinearity', 'lrelu'),
    'truncation_psi': ('truncation_psi', 0.7),
    'truncation_cutoff': ('truncation_cutoff', 8),
}
_STYLE_DISCRIMINATOR = {
    'fmap_base': ('fmap_base', 8192),
    'fmap_decay': ('fmap_decay', 1.0),
    'fmap_max': ('fmap_max', 512),
    'nonlinearity': ('nonlinearity', 'lrelu'),
    'mbstd_group_size': ('mbstd_group_size', 4),
    'mbstd_num_features': ('mbstd_num_features', 1),
}
_PROGAN_GENERATOR = {
    'latent_size': ('z_dim', None),
    'normalize_latents': ('normalize_latents', True),
    'fmap_base': ('fmap_base', 8192),
    'fmap_decay': ('fmap_decay', 1.0),
    'fmap_max': ('fmap_max', 512),
    'use_pixelnorm': ('use_pixel_norm', True),
}
_PROGAN_DISCRIMINATOR = {
    'fmap_base': ('fmap_base', 8192),
    'fmap_decay': ('fmap_decay', 1.0),
    'fmap_max': ('fmap_max', 512),
    'mbstd_group_size': ('mbstd_group_size', 4),
}
# Arguments of which only this value can be expressed here, and arguments that do not change the function.
_FIXED = {'use_wscale': True, 'mapping_use_wscale': True, 'tanh_at_end': False, 'pixelnorm_epsilon': 1e-8}
_IRRELEVANT = {
    'num_channels',
    'resolution',
    'label_size',
    'func_name',
    'dtype',
    'structure',
    'is_template_graph',
    'is_training',
    'is_validation',
    'randomize_noise',
    'dlatent_avg_beta',
    'style_mixing_prob',
    'dlatent_broadcast',
    'truncation_psi_val',
    'truncation_cutoff_val',
    'use_leakyrelu',
    'fused_scale',
    'blur_filter',
    'input_is_dlatent',
    'return_dlatents',
    'synthesis_func',
    'mapping_func',
}


def load(path: str | os.PathLike, which: str = 'ema') -> Generator | Discriminator:
    """Loads a network from an official pickle.

    Args:
      path: a pickle of (G, D, Gs), written by the official StyleGAN or Progressive GAN code.
      which: 'ema' (Gs), 'G' or 'D'.

    Returns:
      A Generator or a Discriminator.

    Raises:
      UserError: the file is not such a pickle, or holds a network that cannot be expressed here.
    """
    return open_file(path).read(which)


def open_file(path: str | os.PathLike) -> StoredNetworks:
    """Reads an official pickle; its networks are converted when they are asked for.

    Args:
      path: see `load`.

    Raises:
      UserError: the file is not a pickle of data.
    """
    networks, names = official_pickle.read(path), ('ema', 'G', 'D')
    if isinstance(networks, official_pickle.OfficialNetwork):
        names = ('D',) if _is_discriminator(networks) else ('ema',)
        networks = (networks,) * 3  # a discriminator as 'ema' is refused by its function

    def read(which):
        try:
            network = networks[('G', 'D', 'ema').index(which)]
        except (KeyError, IndexError, TypeError):
            network = None  # `_converted` refuses it
        return _converted(path, network, _convert_discriminator if which == 'D' else _convert_generator)

    return StoredNetworks(os.fspath(path), FORM, names, read, explains=True)


def _is_discriminator(network):
    """Whether the one network of a file is a discriminator, by the function that built it."""
    state = getattr(network, 'state', None)
    function = state.get('build_func_name') if isinstance(state, dict) else None
    return isinstance(function, str) and function.startswith('D_')


def load_classifier(path: str | os.PathLike) -> tuple[DiscriminatorConfig, dict[str, np.ndarray]]:
    """Loads an official classifier, such as celebahq-classifier-00-male.pkl: a discriminator that does not grow.

    Args:
      path: a pickle of that one network.

    Returns:
      Its DiscriminatorConfig, and its arrays {name: array} under the names that `Discriminator.save` gives them.

    Raises:
      UserError: the file is not such a pickle, or holds a network that cannot be expressed here.
    """
    network = official_pickle.read(path)
    if not isinstance(network, official_pickle.OfficialNetwork):
        raise UserError(f'{path}: not a pickle of one network, as an official classifier is')
    return _converted(path, network, _convert_classifier)


def _converted(path, network, convert):
    """Returns convert(network); errors get the path before their message."""
    try:
        version = network.state['version']
    except Exception:  # of any type, since the file may hold anything in the place of a state
        raise UserError(f'{path}: not a pickle of (G, D, Gs) as the official code writes it') from None
    try:
        if type(version) is not int or version not in (2, 3):
            if isinstance(network.state, dict) and network.state.get('build_func_name') in _STYLEGAN2:
                raise UserError(
                    f'this is a network of StyleGAN2 (state of version {version}); those of StyleGAN and Progressive '
                    'GAN can be read'
                )
            text = version[:40] if isinstance(version, str) else shown(version)
            raise UserError(f'network state of version {text}; versions 2 and 3 can be read')
        return convert(network)
    except UserError as error:
        raise UserError(f'{path}: {error}') from None
    except Exception as error:  # parts that are missing or of other types raise errors of many types
        raise UserError(f'{path}: damaged network ({in_one_line(error)})') from error


def _convert_generator(network):
    state = network.state
    function = _text(state['build_func_name'])
    variables = _variables(state)
    if function == 'G_paper':  # Progressive GAN: one network, without noise inputs or w
        config = _progan_generator_config(network, variables)
        params, noise, w_avg = {}, {}, np.zeros(config.mapped_dim, np.float32)
        synthesis = _renamed(_without_fused_layout(network, variables), 'Conv0', 'Conv0_up')
    elif function == 'G_style':
        synthesis = _variables(state['components']['synthesis'].state)
        config = _style_generator_config(state, synthesis)
        params = {
            ('mapping', *_mapping_name(name)): value
            for name, value in _variables(state['components']['mapping'].state).items()
        }
        noise = {int(name[5:]): value for name, value in synthesis.items() if re.fullmatch(r'noise\d+', name)}
        if noise and max(noise) >= config.num_layers:  # sizes of such layers would be beyond any memory
            raise UserError(
                f'the network has a noise input for layer {shown(max(noise))}, and {config.num_layers} layers'
            )
        w_avg = variables['dlatent_avg']
        if config.mapping_layers == 0:  # w is z with its label, and the official average of another length
            w_avg = np.zeros(config.mapped_dim, np.float32) if w_avg.shape != (config.mapped_dim,) else w_avg
    else:
        raise UserError(f'a network built by {function}; G_style and G_paper are known')
    params |= {
        ('synthesis', *_layer_name(name, config.image)): _channels_last(name, value)
        for name, value in synthesis.items()
        if '/' in name
    }
    arrays = {'/'.join(('params', *name)): value for name, value in params.items()}
    arrays |= {f'noise/{layer}': np.reshape(value, config.noise_shape(layer)) for layer, value in noise.items()}
    arrays['w_avg'] = w_avg
    return Generator.from_arrays(config, arrays)


def _convert_discriminator(network):
    return Discriminator.from_arrays(*_discriminator_arrays(network))


def _convert_classifier(network):
    """Leaves out the layers for smaller images: classifiers were built with structure='fixed', which has none."""
    config, arrays = _discriminator_arrays(network)
    top = stage_name(config.image, config.image.num_stages - 1)
    return config, {
        name: array for name, array in arrays.items() if '/from_rgb/' not in name or name.startswith(f'params/{top}/')
    }


def _discriminator_arrays(network):
    state = network.state
    function = _text(state['build_func_name'])
    if function not in ('D_basic', 'D_paper'):
        raise UserError(f'a network built by {function}; D_basic and D_paper are known')
    variables = _variables(state)
    image = _image_config(state['static_kwargs'], variables, 'FromRGB')
    if function == 'D_paper':
        fields = _fields(state, _PROGAN_DISCRIMINATOR)
        if image.label_dim:  # its first output is the score; the others guess the label, for another loss
            for name in ('4x4/Dense1/weight', '4x4/Dense1/bias'):
                variables[name] = variables[name][..., :1]
        variables = _renamed(variables, 'Conv1', 'Conv1_down')
        config = DiscriminatorConfig(image, architecture='progan', blur_filter=(), **fields)
    else:
        config = DiscriminatorConfig(image, blur_filter=_blur_filter(state), **_fields(state, _STYLE_DISCRIMINATOR))
    arrays = {
        '/'.join(('params', *_layer_name(name, image))): value for name, value in variables.items() if '/' in name
    }
    return config, arrays


def _variables(state):
    """Returns the variables of a network as {name: array}."""
    variables = state['variables']
    return {
        _text(name): _as_array(name, value)
        for name, value in (variables.items() if isinstance(variables, dict) else variables)
    }


def _text(value):
    if type(value) is not str:
        raise TypeError(f'a {type(value).__name__} where a name should be')
    return value


def _as_array(name, value):
    # NumPy would follow nested lists, however often these have one another as entries.
    if not isinstance(value, (official_pickle.PickledArray, np.ndarray, *_NUMBERS)):
        raise TypeError(f'{name[:80]} is a {type(value).__name__}')
    return np.asarray(value)


def _style_generator_config(state, synthesis):
    fields = _fields(state, _STYLE_GENERATOR)
    fused = _plain('fused_scale', state['static_kwargs'].get('fused_scale', 'auto'))
    return GeneratorConfig(
        _image_config(state['static_kwargs'], synthesis, 'ToRGB'),
        blur_filter=_blur_filter(state),
        flip_from={'auto': 128, True: 0, False: _NEVER}[fused],
        **fields,
    )


def _progan_generator_config(network, variables):
    state = network.state
    fields = _fields(state, _PROGAN_GENERATOR)
    fused = state['static_kwargs'].get('fused_scale', True)
    if fields['z_dim'] is None:
        fields['z_dim'] = min(int(fields['fmap_base']), fields['fmap_max'])
    nonlinearity = 'lrelu' if state['static_kwargs'].get('use_leakyrelu', True) else 'relu'
    return GeneratorConfig.progan(
        _image_config(state['static_kwargs'], variables, 'ToRGB'),
        nonlinearity=nonlinearity,
        flip_from=0 if fused else _NEVER,
        **fields,
    )


def _fields(state, table):
    """Translates official arguments to fields; refuses a network that cannot be expressed here."""
    kwargs = state['static_kwargs']
    for name, value in kwargs.items():
        if name in _FIXED and (_plain(name, value) or False) != _FIXED[name]:
            raise UserError(f'a network built with {name}={shown(value)} cannot be expressed here')
        if name not in _FIXED and name not in _IRRELEVANT and name not in table:
            raise UserError(f'a network built with the unknown argument {name[:80]}={shown(value)}')
    return {field: _plain(name, kwargs.get(name, default)) for name, (field, default) in table.items()}


def _plain(name, value):
    """Returns the value of an argument, which is a number, a word or none."""
    if value is not None and not isinstance(value, (str, *_NUMBERS)):
        raise TypeError(f'{name} is a {type(value).__name__}')
    return value


def _blur_filter(state):
    taps = state['static_kwargs'].get('blur_filter', (1, 2, 1))
    return tuple(_plain('blur_filter', tap) for tap in taps) if taps is not None else ()


def _image_config(kwargs, variables, prefix):
    """Returns the ImageConfig of a network; the shapes of its arrays tell what its arguments leave out."""
    if f'{prefix}_lod0/weight' not in variables:
        raise UserError(f'a network without {prefix}_lod0, its layer for images at full size')
    channels = variables[f'{prefix}_lod0/weight'].shape[3 if prefix == 'ToRGB' else 2]
    # Counting FromRGB layers would not do: classifiers have one, for images at full size. So the largest block counts.
    sides = [re.match(r'(\d{1,5})x\1/', name) for name in variables]
    return ImageConfig(
        max(int(side[1]) for side in sides if side), channels=channels, label_dim=int(kwargs.get('label_size', 0))
    )


_PARTS = {
    'Noise/weight': ('noise_strength',),
    'StyleMod/weight': ('style', 'weight'),
    'StyleMod/bias': ('style', 'bias'),
}


def _layer_name(name, image):
    """'8x8/Conv0_up/Noise/weight' -> ('8x8', 'conv0_up', 'noise_strength')."""
    colours = re.fullmatch(r'(To|From)RGB_lod(\d{1,2})/(\w+)', name)
    if colours:
        side = image.resolution >> int(colours[2])
        return f'{side}x{side}', f'{colours[1].lower()}_rgb', colours[3]
    stage, layer, part = name.split('/', 2)
    return (stage, layer.lower(), *_PARTS.get(part, (part,)))


def _mapping_name(name):
    layer, part = name.split('/')
    return ('label_weight',) if layer == 'LabelConcat' else (layer.lower(), part)


def _channels_last(name, value):
    return np.transpose(value, (0, 2, 3, 1)) if name.endswith('/const') else value


def _without_fused_layout(network, variables):
    """Transposes the up convolutions of the first Progressive GAN code, which has outputs before inputs."""
    ups = {name: value for name, value in variables.items() if name.endswith('/Conv0_up/weight')}
    swapped = network.module == 'tfutil'
    # The module tells the first code, unless a layer with different counts of inputs and outputs proves the contrary:
    # its bias has a value for each output.
    for name, value in ups.items():
        outputs = variables[name.replace('weight', 'bias')].shape[0]
        if value.shape[2] != value.shape[3]:
            swapped = value.shape[2] == outputs
    return variables | {name: np.swapaxes(value, 2, 3) if swapped else value for name, value in ups.items()}


def _renamed(variables, layer, new):
    """Renames a Progressive GAN layer that was built with fused_scale=False as the fused one is named."""
    return {name.replace(f'/{layer}/', f'/{new}/'): value for name, value in variables.items()}
