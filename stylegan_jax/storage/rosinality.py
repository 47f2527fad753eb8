"""Networks of rosinality/style-based-gan-pytorch: read as that code computes them, and written so that it loads them.

docs/ports.md says what is carried over exactly, and what is not. `rosinality_names` has the names.
"""

import dataclasses
import os
import zlib
from collections.abc import Collection, Mapping

import numpy as np

from stylegan_jax.config.network import DiscriminatorConfig, GeneratorConfig, ImageConfig, num_fmaps
from stylegan_jax.errors import UserError
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runtime import torch_archive
from stylegan_jax.storage import port_arrays, rosinality_names
from stylegan_jax.storage.rosinality_names import COLOURS, FUSED, FUSED_FROM, OLD, UP, WIDTHS

FORM = 'a file of rosinality/style-based-gan-pytorch'
_STATES = {'ema': 'g_running', 'G': 'generator', 'D': 'discriminator'}  # in files with several networks
_RESOLUTION = 'resolution'  # beside them in files that `write` made; the code itself stores it nowhere
_WRAPPER = 'module.'  # before all names of a module that DataParallel wraps
_LR_MULTIPLIER = 0.01  # of the mapping network; a setting of the optimiser there
_FLIP_FROM = 128  # where its up convolutions are fused; its fused ones apply the kernel flipped
_NEVER = 1 << 30  # flip_from where all apply the kernel as it is
_WHOLE_BATCH = 1 << 20  # group of the minibatch standard deviation, larger than any batch
_BATCHES, _BATCH = 10, 1024  # of latents that the average w is the mean of, as in the code's own generate.py
_SEED = 0


def is_one(keys: Collection[object]) -> bool:
    """Says whether a file of PyTorch with these keys is one that this code writes."""
    names = {key.removeprefix(_WRAPPER) for key in keys if isinstance(key, str)}
    if {'g_running', 'generator.to_rgb.0.conv.weight_orig'} & names:
        return True
    # GenForce has networks of these names as well, but nothing of the following beside them.
    return bool({'generator', 'discriminator'} & names and {'g_optimizer', _RESOLUTION} & names)


def networks_in(path: str | os.PathLike) -> tuple[str, ...]:
    """Returns those of 'ema', 'G' and 'D' that a file has and that can be expressed here.

    Raises:
      UserError: it cannot be read.
    """
    with port_arrays.opened(path) as file:
        states = _states(file.content)
        return tuple(which for which in _STATES if which in states and not _cannot(which, states[which]))


def load(path: str | os.PathLike, which: str = 'ema') -> Generator | Discriminator:
    """Loads a network.

    Args:
      path: a file with the averaged generator alone (`130000.model`), or with all networks (`train_step-6.model`).
      which: 'ema' (g_running), 'G' (generator) or 'D' (discriminator).

    Returns:
      A Generator, whose stages are those that were trained, or a Discriminator of the same size.

    Raises:
      UserError: the file is damaged, has no such network, or it cannot be expressed here.
    """
    with port_arrays.opened(path) as file:
        states = _states(file.content)
        if which not in states:
            raise UserError(f'it holds {" and ".join(states)}, and {which!r} was asked for')
        if problem := _cannot(which, states[which]):
            raise UserError(problem)
        arrays = port_arrays.arrays_of(file, path, states[which])
        if which != 'D':
            return _generator(arrays, _trained_stages(file, path, states[which]))
        others = [states[other] for other in ('ema', 'G') if other in states]
        trained = _trained_stages(file, path, others[0]) if others else _recorded_stages(file)
        return _discriminator(arrays, trained)


def _states(content):
    """Returns {which: state dict} of a file; {'ema': ...} where the file is one."""
    if port_arrays.is_state(content):
        return {'ema': _without_wrapper(content)}
    states = {which: content.get(name) for which, name in _STATES.items()}
    states = {which: _without_wrapper(state) for which, state in states.items() if port_arrays.is_state(state)}
    if not states:
        raise UserError('it holds no networks of rosinality/style-based-gan-pytorch')
    return states


def _without_wrapper(state):
    """Returns a state dict without the prefix of DataParallel."""
    if all(isinstance(name, str) and name.startswith(_WRAPPER) for name in state):
        return {name.removeprefix(_WRAPPER): tensor for name, tensor in state.items()}
    return state


def _cannot(which, state):
    """Returns why a network cannot be expressed here; None if it can, or if reading it shows that."""
    if which != 'D':
        return None
    if 'progression.0.conv.0.conv.weight_orig' in state:
        return 'its discriminator is that of the code until July 2019, which cannot be expressed here'
    if 'from_rgb.0.conv.weight_orig' in state:
        return (
            'its discriminator has no rectifier after from_rgb (no_from_rgb_activate), which cannot be expressed here'
        )
    return None


# --- Reading.


def _trained_stages(file, path, state):
    """Returns the number of stages that were trained.

    The code makes all nine stages whatever is trained. The strengths of noise are zero at first, and a step of training
    changes them, so that they tell; where all are zero, nothing does.
    """
    stages, recorded = _stages(state), _recorded_stages(file)
    if recorded is not None and recorded <= stages:
        return recorded
    names = {
        stage: [f'generator.progression.{stage}.noise{number}.weight_orig' for number in (1, 2)]
        for stage in range(stages)
    }
    noise = [name for both in names.values() for name in both if name in state]
    arrays = port_arrays.arrays_of(file, path, {name: state[name] for name in noise})
    trained = [stage for stage, both in names.items() if any(np.any(arrays[name]) for name in both if name in arrays)]
    return max(trained, default=stages - 1) + 1


def _recorded_stages(file):
    """Returns the number of stages that `write` has noted in a file; None without a note."""
    resolution = file.content.get(_RESOLUTION)
    is_one = type(resolution) is int and resolution in [4 << stage for stage in range(len(WIDTHS))]
    return (resolution // 4).bit_length() if is_one else None


def _stages(state):
    stages = 0
    while f'generator.to_rgb.{stages}.conv.weight_orig' in state and stages < len(WIDTHS):
        stages += 1
    if not stages:
        raise UserError('it lacks generator.to_rgb.0.conv.weight_orig')
    return stages


def _generator(arrays, trained):
    stages = _stages(arrays)
    widths = [_width(arrays, f'generator.to_rgb.{stage}.conv.weight_orig') for stage in range(stages)]
    ups = [
        next((name for name in (UP, FUSED, OLD) if f'generator.progression.{stage}.{name}.bias' in arrays), UP)
        for stage in range(1, stages)
    ]
    architecture, normalizes = _version(arrays, ups)
    layers = 0
    while f'style.{2 * layers + normalizes}.linear.weight_orig' in arrays:
        layers += 1
    if not layers:
        raise UserError('it lacks the mapping network (style.N.linear)')
    code = _width(arrays, 'generator.progression.0.adain1.style.linear.weight_orig')
    image = ImageConfig(4 << (trained - 1))
    config = GeneratorConfig(
        image,
        architecture=architecture,
        z_dim=code,
        w_dim=code,
        mapping_fmaps=code,
        mapping_layers=layers,
        mapping_lr_multiplier=_LR_MULTIPLIER,
        normalize_latents=normalizes,
        blur_filter=(1, 2, 1) if architecture == 'rosinality' else (),
        flip_from=_FLIP_FROM if architecture == 'rosinality' else _NEVER,
        truncation_cutoff=2 * image.num_stages,
        **port_arrays.fmap_fields(widths),
    )
    # Fused ones reverse the kernel, and ours from 128 pixels on; the code can be told to fuse none.
    is_reversed = [(name == FUSED) != (4 << stage >= config.flip_from) for stage, name in enumerate(ups, 1)]
    entries = rosinality_names.mapping_entries(layers, code, normalizes, _LR_MULTIPLIER)
    entries += rosinality_names.synthesis_entries(widths, code, up_names=ups, reversed_from=is_reversed)
    _check_names(arrays, entries, rosinality_names.generator_blurs(widths, ups))
    found = port_arrays.to_ours(_of_stages(entries, image.num_stages), arrays)
    found['params/synthesis/4x4/const/bias'] = np.zeros(widths[0], np.float32)
    found['w_avg'] = np.zeros(config.mapped_dim, np.float32)
    for stage in range(image.num_stages):
        # Both layers of a stage get the same noise in that code; a file holds none.
        noise = np.random.default_rng([_SEED, stage]).standard_normal(config.noise_shape(2 * stage), np.float32)
        found |= {f'noise/{layer}': noise for layer in (2 * stage, 2 * stage + 1)}
    generator = Generator.from_arrays(config, found)
    return dataclasses.replace(generator, w_avg=_mean_w(generator))


def _version(arrays, ups):
    """Returns the architecture that a generator belongs to, and whether its mapping network normalises z."""
    normalizes = 'style.0.linear.weight_orig' not in arrays
    if OLD not in ups:
        return 'rosinality', normalizes
    if not normalizes:
        return 'rosinality_2019_01', False
    # The order of names in the file is that of the steps, until the order of the two last ones changed in July 2019.
    names = [name for name in arrays if name.startswith('generator.progression.0.')]
    noise, style = (next((i for i, name in enumerate(names) if part in name), -1) for part in ('.noise1.', '.adain1.'))
    return 'rosinality_2019_03' if noise < style else 'rosinality_2019_02', True


def _mean_w(generator):
    random, shape = np.random.default_rng(_SEED), (_BATCH, generator.z_dim)
    means = (generator.map(random.standard_normal(shape, np.float32)).mean(axis=0) for _ in range(_BATCHES))
    return sum(means) / _BATCHES


def _discriminator(arrays, trained):
    stages = 0
    while f'from_rgb.{stages}.0.conv.weight_orig' in arrays and stages < len(WIDTHS):
        stages += 1
    if not stages:
        raise UserError('it lacks from_rgb.0.0.conv.weight_orig')
    trained = stages if trained is None else trained
    widths = [_width(arrays, f'from_rgb.{stages - 1 - stage}.0.conv.weight_orig', 0) for stage in range(stages)]
    last = _width(arrays, 'linear.linear.weight_orig')
    fused = [f'progression.{stages - 1 - stage}.conv2.1.weight' in arrays for stage in range(1, stages)]
    entries = rosinality_names.discriminator_entries(widths, last, fused)
    _check_names(arrays, entries, rosinality_names.discriminator_blurs(widths))
    if trained > stages:
        raise UserError(f'its generator has {trained} stages, and its discriminator {stages}')
    config = DiscriminatorConfig(
        ImageConfig(4 << (trained - 1)),
        architecture='rosinality',
        mbstd_group_size=_WHOLE_BATCH,
        **port_arrays.fmap_fields([last, *widths], first_level=0),
    )
    return Discriminator.from_arrays(config, port_arrays.to_ours(_of_stages(entries, trained), arrays))


def _width(arrays, name, axis=1):
    """Returns the length of an axis of an array whose other axes are checked later."""
    if name not in arrays or arrays[name].ndim < 2 or not arrays[name].size:
        raise UserError(f'it lacks {name}')
    return arrays[name].shape[axis]


def _check_names(arrays, entries, blurs):
    port_arrays.check_names(arrays, {entry.theirs for entry in entries} | blurs.keys())
    for name in blurs.keys() & arrays.keys():
        port_arrays.check_blur(name, arrays[name])


def _of_stages(entries, count):
    """Returns the entries without those of larger stages."""
    beyond = {f'{4 << stage}x{4 << stage}' for stage in range(count, len(WIDTHS))}
    return [entry for entry in entries if not beyond & set(entry.ours.split('/'))]


# --- Writing.


def write(path: str | os.PathLike, networks: Mapping[str, Generator | Discriminator]) -> None:
    """Writes networks as the code's training does, for its generate.py; optimiser states are left out.

    Its stages beyond those of a network are filled as the code initialises them.

    Args:
      path: of the file; an existing one is replaced.
      networks: {'ema': Generator, 'G': Generator, 'D': Discriminator}, or some of them.

    Raises:
      UserError: a network has something that the code has not.
    """
    sizes = {network.config.image.resolution for network in networks.values()}
    if len(sizes) > 1:
        raise UserError(f'networks of {" and ".join(map(str, sorted(sizes)))} pixels do not belong together')
    for which, network in networks.items():
        _refuse_to_write(which, network.config)
    content = {
        _STATES[which]: _discriminator_state(network) if which == 'D' else _generator_state(network)
        for which, network in networks.items()
    }
    torch_archive.write(path, content | {_RESOLUTION: sizes.pop()})


def not_carried_over(networks: Mapping[str, Generator | Discriminator]) -> list[str]:
    """Returns lines about what a file that `write` makes of these networks does not have, for people."""
    lines = []
    generators = [network for which, network in networks.items() if which != 'D']
    if generators:
        lines.append('noise inputs: the code draws new ones, of which both layers of a stage get the same')
        lines.append('average w and truncation: its generate.py takes psi 0.7 in all layers, and a mean w of its own')
    if any(generator.config.architecture == 'stylegan' for generator in generators):
        lines.append('epsilon of instance norm: 1e-5 there, 1e-8 here')
        lines.append('biases of up convolutions: added before the blur there, which differs at the edges of images')
    if 'D' in networks and networks['D'].config.mbstd_group_size < _WHOLE_BATCH:
        lines.append('groups of the minibatch standard deviation: the whole batch is one there')
    return lines


def _refuse_to_write(which, config):
    """Raises a UserError that names the first setting that the code does not have."""
    image = config.image
    wanted = {
        'architecture': ('rosinality', 'stylegan'),
        'image.base_shape': ((4, 4),),
        'image.channels': (COLOURS,),
        'image.label_dim': (0,),
        'nonlinearity': ('lrelu',),
        'blur_filter': ((1, 2, 1),),
    }
    if which == 'D':
        wanted |= {'mbstd_num_features': (1,)}
    else:
        sizes = dict.fromkeys(('z_dim', 'w_dim', 'mapping_fmaps'), (rosinality_names.CODE,))
        switches = dict.fromkeys(('normalize_latents', 'use_styles', 'const_input', 'use_instance_norm'), (True,))
        layers = {'mapping_layers': (rosinality_names.MAPPING_LAYERS,), 'use_pixel_norm': (False,)}
        wanted |= sizes | switches | layers | {'mapping_nonlinearity': ('lrelu',)}
    for name, allowed in wanted.items():
        part, _, field = name.rpartition('.')
        value = getattr(image if part else config, field)
        if value not in allowed:
            raise UserError(
                f'{which} has {name}={value!r}, and rosinality/style-based-gan-pytorch has '
                + ' or '.join(map(repr, allowed))
            )
    if image.num_stages > len(WIDTHS):
        raise UserError(f'{which} is of {image.resolution} pixels, and the code goes to 1024')
    widths = [num_fmaps(config, stage + 1) for stage in range(image.num_stages)]
    if widths != list(WIDTHS[: image.num_stages]) or (which == 'D' and num_fmaps(config, 0) != WIDTHS[0]):
        raise UserError(f'{which} has {widths} feature maps from 4x4 up, and the code {list(WIDTHS)}')
    if which == 'D' and config.architecture != 'rosinality' and len(set(widths)) > 1:
        raise UserError(
            'D doubles its feature maps in the second convolution of a stage, and the code in the first; leave D out'
        )


def _generator_state(generator):
    config = generator.config
    arrays = {name: np.asarray(array) for name, array in generator.named_arrays().items()}
    arrays['params/synthesis/4x4/const/const'] = (
        arrays['params/synthesis/4x4/const/const'] + arrays['params/synthesis/4x4/const/bias']
    )  # its constant has no bias
    ups = [FUSED if stage >= FUSED_FROM else UP for stage in range(1, len(WIDTHS))]
    is_reversed = [(name == FUSED) != (4 << stage >= config.flip_from) for stage, name in enumerate(ups, 1)]
    entries = rosinality_names.synthesis_entries(WIDTHS, config.w_dim, up_names=ups, reversed_from=is_reversed)
    multiplier = config.mapping_lr_multiplier
    entries += rosinality_names.mapping_entries(config.mapping_layers, config.z_dim, True, multiplier)
    return _state(entries, arrays, rosinality_names.generator_blurs(WIDTHS, ups))


def _discriminator_state(discriminator):
    fused = [stage >= FUSED_FROM for stage in range(1, len(WIDTHS))]
    entries = rosinality_names.discriminator_entries(WIDTHS, WIDTHS[0], fused)
    return _state(entries, discriminator.named_arrays(), rosinality_names.discriminator_blurs(WIDTHS))


def _state(entries, arrays, blurs):
    state = {
        entry.theirs: port_arrays.to_theirs(entry, arrays[entry.ours]) if entry.ours in arrays else _fresh(entry)
        for entry in entries
    }
    return state | {name: np.tile(port_arrays.BLUR, (channels, 1, 1, 1)) for name, channels in blurs.items()}


def _fresh(entry):
    """Returns what the code begins a stage with: zeros for biases and noise, normal numbers for weights."""
    if entry.kind == 'vector':
        return np.zeros(entry.shape, np.float32)
    if entry.kind == 'style_bias':  # scales of one
        return np.repeat(np.float32([1, 0]), entry.shape[0] // 2)
    return np.random.default_rng(zlib.crc32(entry.theirs.encode())).standard_normal(entry.shape, np.float32)
