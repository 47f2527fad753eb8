"""Networks of GenForce in PyTorch: StyleGAN and Progressive GAN, as its releases and its training write them.

Its networks are the official ones under other names, so that reading is renaming. Settings that change no array, such
as a final tanh or which convolutions are fused, are not in its files; the defaults of its code are assumed.
"""

import os
import re
from collections.abc import Collection

import numpy as np

from stylegan_jax.config.network import DiscriminatorConfig, GeneratorConfig, ImageConfig
from stylegan_jax.errors import UserError
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.storage import port_arrays
from stylegan_jax.storage.port_arrays import Entry

FORM = 'a file of GenForce'
_STATES = {'ema': 'generator_smooth', 'G': 'generator', 'D': 'discriminator'}
_MODELS = 'models'  # the key of the networks in a checkpoint of its training
_NEVER = 1 << 30  # flip_from of a network whose up convolutions are nowhere fused
_MOST = 12  # stages or layers of the mapping network that files may have
_GROUP = 4  # of the minibatch standard deviation, the default there


def is_one(keys: Collection[object]) -> bool:
    """Says whether a file of PyTorch with these keys is one that GenForce writes."""
    return 'generator_smooth' in keys or _MODELS in keys


def networks_in(path: str | os.PathLike) -> tuple[str, ...]:
    """Returns those of 'ema', 'G' and 'D' that a file has and that can be expressed here.

    Raises:
      UserError: it cannot be read.
    """
    with port_arrays.opened(path) as file:
        states = _states(file.content)
        return tuple(which for which in states if not (which == 'D' and _is_progan_discriminator(states['D'])))


def load(path: str | os.PathLike, which: str = 'ema') -> Generator | Discriminator:
    """Loads a network.

    Args:
      path: of a `.pth` file.
      which: 'ema' (generator_smooth), 'G' (generator) or 'D' (discriminator).

    Returns:
      A Generator or a Discriminator.

    Raises:
      UserError: the file is damaged, has no such network, or it cannot be expressed here.
    """
    return load_with_lod(path, which)[0]


def load_with_lod(path: str | os.PathLike, which: str = 'ema') -> tuple[Generator | Discriminator, float]:
    """Loads a network as `load` does, and the level of detail that its training has reached; 0 is full size."""
    with port_arrays.opened(path) as file:
        states = _states(file.content)
        if which not in states:
            raise UserError(f'it holds {" and ".join(states)}, and {which!r} was asked for')
        if which == 'D' and _is_progan_discriminator(states['D']):
            raise UserError(
                'its discriminator is that of Progressive GAN, which averages pixels after the rectifier rather than '
                'before it; it cannot be expressed here'
            )
        arrays = port_arrays.arrays_of(file, path, states[which])
        network = _discriminator(arrays) if which == 'D' else _generator(arrays)
        lod = float(arrays.get('synthesis.lod', arrays.get('lod', np.zeros(()))))
        if not 0 <= lod <= network.config.image.num_stages - 1:
            raise UserError(f'its level of detail is {lod}')
        return network, lod


def _states(content):
    models = content.get(_MODELS, content)
    if not isinstance(models, dict):
        raise UserError('its models are no dict')
    states = {which: models.get(name) for which, name in _STATES.items()}
    states = {which: state for which, state in states.items() if port_arrays.is_state(state)}
    if not states:
        raise UserError('it holds no networks of GenForce')
    return states


def _is_progan_discriminator(state):
    return 'layer0.weight' in state and 'layer1.blur.kernel' not in state  # StyleGAN's blurs before it halves the size


def _generator(arrays):
    # Of StyleGAN2 the blocks have other names.
    if 'mapping.dense0.weight' in arrays and 'synthesis.layer0.apply_noise.weight' in arrays:
        return _stylegan_generator(arrays)
    if 'layer0.weight' in arrays and 'output0.weight' in arrays:
        return _progan_generator(arrays)
    raise UserError('its generator is neither a StyleGAN nor a Progressive GAN of GenForce, which are read here')


def _stylegan_generator(arrays):
    stages = _count(arrays, 'synthesis.output{}.weight')
    widths = [_axis(arrays, f'synthesis.output{stage}.weight', 1) for stage in range(stages)]
    layers = _count(arrays, 'mapping.dense{}.weight')
    w_dim = _axis(arrays, f'mapping.dense{layers - 1}.weight', 0)
    label_dim = _axis(arrays, 'mapping.label_weight', 0) if 'mapping.label_weight' in arrays else 0
    inputs = _axis(arrays, 'mapping.dense0.weight', 1)
    if arrays['synthesis.layer0.apply_noise.weight'].ndim != 1:
        raise UserError(
            "its noise is one number for each channel (noise_type='channel'), which cannot be expressed here"
        )
    if _axis(arrays, 'synthesis.layer0.style.weight', 1) != w_dim:
        raise UserError('its mapping network makes a w for each layer (repeat_w=False), which cannot be expressed here')
    image = ImageConfig(4 << (stages - 1), channels=_axis(arrays, 'synthesis.output0.weight', 0), label_dim=label_dim)
    config = GeneratorConfig(
        image,
        z_dim=inputs // 2 if label_dim else inputs,
        w_dim=w_dim,
        mapping_layers=layers,
        mapping_fmaps=_axis(arrays, 'mapping.dense0.weight', 0) if layers > 1 else w_dim,
        const_input='synthesis.layer0.const' in arrays,
        **port_arrays.fmap_fields(widths),
    )
    entries = _mapping_entries(config) + _synthesis_entries(config, widths)
    _check_names(arrays, entries, r'(synthesis\.)?lod|synthesis\.layer\d+\.blur\.kernel')
    return Generator.from_arrays(config, port_arrays.to_ours(entries, arrays))


def _mapping_entries(config):
    entries = [Entry('truncation.w_avg', 'w_avg', 'vector', (config.w_dim,))]
    inputs = config.z_dim
    if config.image.label_dim:
        entries.append(
            Entry(
                'mapping.label_weight', 'params/mapping/label_weight', 'matrix', (config.image.label_dim, config.z_dim)
            )
        )
        inputs *= 2
    for i in range(config.mapping_layers):
        outputs = config.w_dim if i == config.mapping_layers - 1 else config.mapping_fmaps
        entries += _pair(f'mapping.dense{i}', f'params/mapping/dense{i}', 'dense', (outputs, inputs))
        inputs = outputs
    return entries


def _synthesis_entries(config, widths):
    entries = []
    for layer in range(config.num_layers):
        stage, is_second = divmod(layer, 2)
        theirs, width = f'synthesis.layer{layer}', widths[stage]
        block, side = f'params/synthesis/{4 << stage}x{4 << stage}', 4 << stage
        ours = f'{block}/{_layer_name(stage, is_second, config.const_input)}'
        if layer == 0 and config.const_input:
            entries.append(Entry(f'{theirs}.const', f'{ours}/const', 'image', (1, width, 4, 4)))
            entries.append(Entry(f'{theirs}.bias', f'{ours}/bias', 'vector', (width,)))
        elif layer == 0:
            entries += _pair(theirs, ours, 'dense_input', (width, config.w_dim, 4, 4))
        else:
            entries += _pair(theirs, ours, 'conv', (width, width if is_second else widths[stage - 1], 3, 3))
        entries += _pair(f'{theirs}.style', f'{ours}/style', 'dense', (2 * width, config.w_dim))
        entries += [
            Entry(f'{theirs}.apply_noise.weight', f'{ours}/noise_strength', 'vector', (width,)),
            Entry(f'{theirs}.apply_noise.noise', f'noise/{layer}', 'image', (1, 1, side, side)),
        ]
        if is_second:
            shape = (config.image.channels, width, 1, 1)
            entries += _pair(f'synthesis.output{stage}', f'{block}/to_rgb', 'conv', shape)
    return entries


def _layer_name(stage, is_second, has_const):
    if stage:
        return 'conv1' if is_second else 'conv0_up'
    return 'conv' if is_second else 'const' if has_const else 'dense'


def _progan_generator(arrays):
    stages = _count(arrays, 'output{}.weight')
    widths = [_axis(arrays, f'output{stage}.weight', 1) for stage in range(stages)]
    z_dim = _axis(arrays, 'layer0.weight', 1)
    config = GeneratorConfig.progan(
        ImageConfig(4 << (stages - 1), channels=_axis(arrays, 'output0.weight', 0)),
        z_dim=z_dim,
        flip_from=_NEVER,  # fused_scale=False, the default
        **port_arrays.fmap_fields(widths),
    )
    entries = []
    for layer in range(config.num_layers):
        stage, is_second = divmod(layer, 2)
        block = f'params/synthesis/{4 << stage}x{4 << stage}'
        ours = f'{block}/{_layer_name(stage, is_second, False)}'
        if layer == 0:
            entries += _pair('layer0', ours, 'dense_input', (widths[0], z_dim, 4, 4))
            continue
        inputs = widths[stage] if is_second else widths[stage - 1]
        entries += _pair(f'layer{layer}', ours, 'conv', (widths[stage], inputs, 3, 3))
        if is_second:
            shape = (config.image.channels, widths[stage], 1, 1)
            entries += _pair(f'output{stage}', f'{block}/to_rgb', 'conv', shape)
    _check_names(arrays, entries, 'lod')
    found = port_arrays.to_ours(entries, arrays)
    return Generator.from_arrays(config, found | {'w_avg': np.zeros(config.mapped_dim, np.float32)})


def _discriminator(arrays):
    stages = _count(arrays, 'input{}.weight')
    widths = [_axis(arrays, f'input{stages - 1 - stage}.weight', 0) for stage in range(stages)]
    last, scores = (_axis(arrays, f'layer{2 * stages - offset}.weight', 0) for offset in (1, 0))
    channels = _axis(arrays, 'input0.weight', 1)
    appended = _axis(arrays, f'layer{2 * stages - 2}.weight', 1) - widths[0]
    if appended not in (0, 1) and widths[0] % max(appended, 1):
        raise UserError(f'its discriminator appends {appended} feature maps')
    config = DiscriminatorConfig(
        ImageConfig(4 << (stages - 1), channels=channels, label_dim=scores if scores > 1 else 0),
        mbstd_group_size=_GROUP if appended else 1,
        mbstd_num_features=max(appended, 1),
        **port_arrays.fmap_fields([last, *widths], first_level=0),
    )
    entries = []
    for stage, width in enumerate(widths):
        place, ours = stages - 1 - stage, f'params/{4 << stage}x{4 << stage}'
        first, second = f'layer{2 * place}', f'layer{2 * place + 1}'
        entries += _pair(f'input{place}', f'{ours}/from_rgb', 'conv', (width, channels, 1, 1))
        if stage:
            entries += _pair(first, f'{ours}/conv0', 'conv', (width, width, 3, 3))
            entries += _pair(second, f'{ours}/conv1_down', 'conv', (widths[stage - 1], width, 3, 3))
        else:
            entries += _pair(first, f'{ours}/conv', 'conv', (width, width + appended, 3, 3))
            entries += _pair(second, f'{ours}/dense0', 'dense', (last, 16 * width))
            entries += _pair(f'layer{2 * place + 2}', f'{ours}/dense1', 'dense', (scores, last))
    _check_names(arrays, entries, r'lod|layer\d+\.blur\.kernel')
    return Discriminator.from_arrays(config, port_arrays.to_ours(entries, arrays))


def _pair(theirs, ours, kind, shape):
    """Returns the entries of a weight and of its bias."""
    return [
        Entry(f'{theirs}.weight', f'{ours}/weight', kind, shape),
        Entry(f'{theirs}.bias', f'{ours}/bias', 'vector', shape[:1]),
    ]


def _count(arrays, name):
    count = 0
    while name.format(count) in arrays:
        count += 1
    if not 1 <= count <= _MOST:
        raise UserError(f'it has {count} arrays {name.format("N")}')
    return count


def _axis(arrays, name, axis):
    """Returns the length of an axis of an array whose other axes are checked later."""
    if name not in arrays or arrays[name].ndim < 2 or not arrays[name].size:
        raise UserError(f'it lacks {name}, or that is empty')
    return arrays[name].shape[axis]


def _check_names(arrays, entries, others):
    """Checks names, and the filters among the arrays that are no weights, whose names are a pattern."""
    besides = {name for name in arrays if re.fullmatch(others, name)}
    port_arrays.check_names(arrays, {entry.theirs for entry in entries} | besides)
    for name in besides:
        if name.endswith('.kernel'):
            port_arrays.check_blur(name, arrays[name])
