"""Describes a run as text, without training: config, networks layer by layer, schedule and memory stage by stage."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import traverse_util

from stylegan_jax.config import Config, serialization
from stylegan_jax.config.schedule import resolve, stage_table
from stylegan_jax.networks.discriminator import Discriminate, Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.mapping import Mapping
from stylegan_jax.networks.synthesis import Synthesis
from stylegan_jax.run import memory_plan


def describe(config: Config, nimg: int = 0) -> str:
    """Returns the resolved config of a run, tables of its parameters, its schedule and its memory, as text.

    Args:
      config: a Config.
      nimg: images shown where the run goes on; schedule and memory are those of what is left.
    """
    config = resolve(config)
    return '\n\n'.join(
        [
            serialization.to_json(config).rstrip(),
            _generator_table(config.generator),
            _discriminator_table(config.discriminator),
            _schedule_table(config, nimg),
            _plan_table(config, nimg),
        ]
    )


def _generator_table(config):
    # `jax.eval_shape` computes shapes alone, so that the tables of the largest networks take no memory.
    generator = jax.eval_shape(lambda key: Generator.init(key, config), jax.random.key(0))
    top, ws = config.image.num_stages - 1, _abstract(config.num_ws, config.mapped_dim)
    noise = tuple(_abstract(*config.noise_shape(layer)[1:]) for layer in range(config.num_layers * config.use_noise))
    outputs = _outputs(
        Mapping(config), generator.params['mapping'], _abstract(config.z_dim), _abstract(config.image.label_dim)
    )
    outputs = {('mapping', *path): shape for path, shape in outputs.items()}
    outputs |= {
        ('synthesis', *path): shape
        for path, shape in _outputs(
            Synthesis(config), generator.params['synthesis'], ws, noise, stage=top, alpha=1.0
        ).items()
    }
    return _table('G', generator.params, outputs)


def _discriminator_table(config):
    params = jax.eval_shape(lambda key: Discriminator.init(key, config), jax.random.key(0)).params
    outputs = _outputs(
        Discriminate(config),
        params,
        _abstract(*config.image.shape),
        _abstract(config.image.label_dim),
        stage=config.image.num_stages - 1,
        alpha=1.0,
    )
    return _table('D', params, outputs)


def _abstract(*shape):
    return jax.ShapeDtypeStruct((1, *shape), jnp.float32)


def _outputs(module, params, *args, **kwargs):
    """Returns the shapes of the outputs of a module's layers for one image, by path."""

    def run(params, *args):
        return module.apply({'params': params}, *args, capture_intermediates=True, mutable='intermediates', **kwargs)

    _, variables = jax.eval_shape(run, params, *args)
    flat = traverse_util.flatten_dict(dict(variables).get('intermediates', {}))
    # Blocks may return several arrays, and have no row in the tables.
    return {
        path[:-1]: outputs[0].shape
        for path, outputs in flat.items()
        if path[-1] == '__call__' and not isinstance(outputs[0], tuple)
    }


def _table(name, params, outputs):
    """Returns a table with a row per layer (parameters, output shape [N, ...], weight shape) and their sum."""
    layers = {}
    for path, leaf in sorted(traverse_util.flatten_dict(params).items(), key=lambda item: _by_size(item[0])):
        layers.setdefault(path[:-1], {})[path[-1]] = leaf
    rows = [(name, 'Params', 'OutputShape', 'WeightShape'), ('---',) * 4]
    for path, leaves in layers.items():
        output = outputs.get(path)  # None for layers that images of full size do not pass through
        weight = leaves.get('weight', leaves.get('const', leaves.get('label_weight')))
        rows.append(
            (
                '/'.join(path) or '-',
                str(sum(leaf.size for leaf in leaves.values())),
                '(?, ' + ', '.join(map(str, output[1:])) + ')' if output else '-',
                str(weight.shape),
            )
        )
    total = sum(leaf.size for leaf in jax.tree.leaves(params))
    return aligned([*rows, ('---',) * 4, ('Total', f'{total:,}', '', '')])


def _by_size(path):
    """Key that sorts '8x8' before '16x16'."""
    return [(int(part.partition('x')[0]) if part[0].isdecimal() else 0, part) for part in path]


def _schedule_table(config, nimg):
    rows = [('kimg', 'Resolution', 'Phase', 'Images', 'Batch', 'Rate', 'Steps'), ('---',) * 7]
    for span in stage_table(config, nimg):
        rows.append(
            (
                f'{span.from_kimg:g} - {span.to_kimg:g}',
                'x'.join(map(str, span.resolution)),
                span.kind,
                f'{round((span.to_kimg - span.from_kimg) * 1000):,}',
                str(span.batch),
                f'{span.lr:g}',
                f'{span.steps:,}',
            )
        )
    return aligned(rows) + (f'\nWhat is left from {nimg / 1000:g} kimg on' if nimg else '')


def _plan_table(config, nimg):
    """Returns a table with a row per stage: the cost of an iteration, and whether it fits on the devices."""
    memory, source = memory_plan.device_memory()
    rows = [
        ('Resolution', 'Batch', 'ImagesPerDevice', 'GFLOP/image', 'Weights', 'Activations', 'Total', 'Fits'),
        ('---',) * 8,
    ]
    for plan in memory_plan.plans(config, nimg):
        rows.append(
            (
                'x'.join(map(str, plan.resolution)),
                str(plan.batch),
                str(plan.images),
                f'{plan.flops_per_image / 1e9:.3g}',
                *(f'{size / 1e9:.3g} GB' for size in (plan.fixed_bytes, plan.activation_bytes, plan.total_bytes)),
                plan.verdict(memory),
            )
        )
    return f'{aligned(rows)}\nEstimates; a device has {memory / 1e9:.3g} GB ({source})'


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of cells as a table, whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return '\n'.join('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
