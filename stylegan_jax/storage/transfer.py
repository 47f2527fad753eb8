"""Starting a run from existing weights: arrays that fit are taken over by name, the rest is initialised afresh.

The image size and the labels may differ from the file's. Continuing a run is the purpose of `checkpoint`, not of this.
"""

import dataclasses
import math
import os
import re

import jax
import jax.numpy as jnp

from stylegan_jax import training
from stylegan_jax.config import Config
from stylegan_jax.errors import UserError
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.storage import loading
from stylegan_jax.training.freezing import frozen_blocks

_BLOCK = re.compile(r'(synthesis/)?[^/]+')  # the report groups arrays by it: mapping, synthesis/8x8, 8x8, noise
_LAST_DENSE = re.compile(r'\d+x\d+/dense1/(weight|bias)')  # of the discriminator, with a column for each class
_FEW = 3  # most arrays of a block that are listed one by one
_FATES = {
    'adapted': 'adapted to the labels',
    'reshaped': 'fresh, of another shape in the file',
    'new': 'fresh, not in the file',
    'unused': 'in the file, not used',
}
# Layers that read colours are trained no more when larger stages have begun, while the rest of their blocks is.
_STALE = (
    "the file's images are larger, so that from_rgb of this size was last trained before the stages above it; "
    'train.freeze_d keeps it as it is, and 0 trains it'
)


def transferred(
    path: str | os.PathLike, config: Config
) -> tuple[Generator | None, Discriminator | None, Generator | None, list[str]]:
    """Makes the networks that a run starts with from those of a file.

    Args:
      path: whatever `storage.loading.load` reads.
      config: the new run's Config; its seed initialises the fresh arrays.

    Returns:
      (Generator, Discriminator, averaged Generator, report) as `training.create_state` takes them, None for a
      network that the file does not have. The report is a list of lines for people: which arrays are fresh, adapted or
      unused.

    Raises:
      UserError: the file cannot be read, is of another architecture, or has no weights that fit.
    """
    return _transferred(path, config, training.create_state(config))


def described_transfer(path: str | os.PathLike, config: Config) -> list[str]:
    """Returns the report of `transferred`, or raises what it raises, without making fresh networks."""
    return _transferred(path, config, jax.eval_shape(lambda: training.create_state(config)))[-1]


def _transferred(path, config, state):
    """Returns what `transferred` does, with fresh arrays from a TrainState, which may be of shapes alone."""
    stored = loading.open_networks(path)
    theirs = {which: stored.load(which) for which in ('G', 'D', 'ema') if which in stored.loadable}
    if config.train.freeze_d and 'D' not in theirs:
        raise UserError(f'{path} has no discriminator', field='train.freeze_d', value=config.train.freeze_d)
    for which, network in theirs.items():
        ours = (config.discriminator if which == 'D' else config.generator).architecture
        if network.config.architecture != ours:
            raise UserError(
                f'{path}: the architecture of its {which} is {network.config.architecture!r}, '
                f"and this run's is {ours!r}",
                remedy='start from another file, or choose an experiment that has it',
            )
    networks, lines, fitting = {}, {}, []
    for which in theirs:
        fresh = training.network(config, state, which)
        networks[which], fates = _merged(theirs[which], fresh)
        if which == 'D':
            _refuse_fresh_in_frozen(path, config, fates, _named(theirs[which]), _named(fresh))
        lines[which] = _described(theirs[which], fresh, fates)
        if which == 'D' and frozen_blocks(config) and theirs[which].config.image.num_stages > config.image.num_stages:
            lines[which].append(_STALE)
        fitting += [name for name in fates['taken'] + fates['adapted'] if name.endswith('weight')]
    if not fitting:  # biases, noise and the average w may fit by chance
        raise UserError(
            f'{path}: none of its weights fits the networks of this run ({lines[which][-1]})',
            remedy='start from another file, or choose its settings',
        )
    return *map(networks.get, ('G', 'D', 'ema')), _report(lines)


def _refuse_fresh_in_frozen(path, config, fates, old, new):
    """Raises a UserError for blocks of D that would stay as they are without weights from the file."""
    frozen = frozen_blocks(config)
    for name in (*fates['new'], *fates['reshaped']):
        if name.partition('/')[0] in frozen:
            problem, remedy = f'{path} does not have {name}', 'give 0, or the size of its images to image.resolution'
            if name in old:
                problem = f'{name} is {old[name].shape} in {path}, and {new[name].shape} in this run'
                remedy = 'give 0, or another file'
            problem += ', so that it would stay random'
            raise UserError(problem, field='train.freeze_d', value=config.train.freeze_d, remedy=remedy)


def _merged(theirs, fresh):
    """Puts arrays of a file into a fresh network.

    Returns:
      (network with the config of `fresh`, {fate: names}), where the fate is 'taken' or one of _FATES.
    """
    old, new = _named(theirs), _named(fresh)
    fates = {fate: [] for fate in ('taken', *_FATES)}
    arrays = []
    for name, array in new.items():
        if name not in old:
            fate = 'new'
        elif old[name].shape == array.shape:
            fate, array = 'taken', jnp.asarray(old[name], array.dtype)
        else:
            adapted = _adapted(name, old[name], array.shape, theirs.config, fresh.config)
            fate, array = ('reshaped', array) if adapted is None else ('adapted', jnp.asarray(adapted, array.dtype))
        fates[fate].append(name)
        arrays.append(array)
    fates['unused'] = [name for name in old if name not in new]
    return jax.tree.unflatten(jax.tree.structure(fresh), arrays), fates


def _adapted(name, array, shape, theirs, ours):
    """Fits an array to another number of labels; returns None if the shapes differ for another reason.

    Args:
      name: in the parameter tree.
      array: the file's.
      shape: wanted.
      theirs, ours: configs of the file's network and of the new one.
    """
    if name == 'mapping/dense0/weight' and theirs.z_dim == ours.z_dim and array.shape[1] == shape[1]:
        # The input is z, followed by the embedded label if there is one. The rows of z are taken over, and those of a
        # new label are 0. The factor undoes the change of equalized learning rate, which divides by the root of the
        # fan-in. With normalize_latents, z and the embedding are divided by their common root mean square, so z keeps
        # its scale exactly only if that of the embedding is the same; it is nearly, as both are drawn alike.
        rows = array[: ours.z_dim] * math.sqrt(shape[0] / array.shape[0])
        return jnp.pad(rows, ((0, shape[0] - ours.z_dim), (0, 0)))
    if _LAST_DENSE.fullmatch(name) and array.shape[:-1] == shape[:-1]:
        # All classes start with the mean score of the old ones.
        return jnp.broadcast_to(jnp.mean(array, axis=-1, keepdims=True), shape)
    return None


def _named(network):
    """Returns {'mapping/dense0/bias': array, ..., 'w_avg': array, ...}, in the order of the leaves."""
    return {
        jax.tree_util.keystr(path, simple=True, separator='/').removeprefix('params/'): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(network)
    }


def _described(theirs, fresh, fates):
    """Returns lines that list the fates of the arrays, and the settings that differ."""
    old, new = _named(theirs), _named(fresh)
    taken = len(fates['taken'])
    lines = [
        f'all {taken} arrays taken over'
        if taken == len(new) == len(old)
        else f'{taken} of {len(new)} arrays taken over'
    ]
    for fate, heading in _FATES.items():
        blocks = {}
        for name in fates[fate]:
            blocks.setdefault(_BLOCK.match(name)[0], []).append(name)
        lines += [f'{heading}: {_block_line(block, names, old, new)}' for block, names in blocks.items()]
    theirs, ours = _settings(theirs.config), _settings(fresh.config)
    changed = [f'{name} {theirs[name]!r} -> {ours[name]!r}' for name in ours if theirs[name] != ours[name]]
    return lines + (["settings that differ from the file's: " + ', '.join(changed)] if changed else [])


def _block_line(block, names, old, new):
    """Returns 'synthesis/8x8 (12 arrays: conv0_up, conv1, to_rgb)', with both shapes of arrays that have two."""
    has_both = names[0] in old and names[0] in new
    shapes = [f'{name} {old[name].shape} -> {new[name].shape}' for name in names if has_both]
    if (len(names) <= _FEW and has_both) or len(names) == 1:
        return ', '.join(shapes or names)
    layers = dict.fromkeys(name[len(block) + 1 :].partition('/')[0] for name in names)
    return f'{block} ({len(names)} arrays: {", ".join(layers)}' + (f'; first {shapes[0]})' if has_both else ')')


def _settings(config):
    """Returns {field: value}; the fields of the image are beside those of the network."""
    fields = dataclasses.asdict(config)
    return fields.pop('image') | fields


def _report(lines):
    """Returns the lines of all networks; the two generators share theirs if they are the same."""
    lines = {which: lines.get(which, ['not in the file, fresh']) for which in ('G', 'D', 'ema')}
    if lines['G'] == lines['ema']:
        lines = {'G and ema': lines['G'], 'D': lines['D']}
    return [f'{which}: {line}' for which, its_lines in lines.items() for line in its_lines]
