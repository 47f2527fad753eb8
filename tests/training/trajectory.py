"""A short run of the compiled steps on any number of devices, for test_parallel.py; also a program for one process.

python trajectory.py COORDINATOR PROCESSES PROCESS OUT
"""

import sys

import jax
import numpy as np

import tiny
from stylegan_jax import training
from stylegan_jax.config import DataConfig, ParallelConfig, ScheduleConfig, TrainConfig
from stylegan_jax.config.schedule import lod_at, setting_at
from stylegan_jax.data.batch import Batch

REPLICAS, BATCH = 8, 16


def run_config(**fields):
    """8 replicas from 4x4 to 8x8: steps of 16 images; 4x4 up to 96, a fade up to 224, then 8x8."""
    return tiny.run_config(
        **{
            'replicas': REPLICAS,
            'precision': 'float64',
            'data': DataConfig(mirror=True),
            'train': TrainConfig(ema_kimg=0.1),
            'schedule': ScheduleConfig(
                initial_resolution=4,
                batch=BATCH,
                stage_kimg=0.096,
                fade_kimg=0.128,
                lr=0.002,
                batch_by_resolution={},
                lr_by_resolution={},
                steps_per_evaluation=2,
            ),
            'generator': {'mapping_layers': 1, 'fmap_max': 4},
            'discriminator': {'fmap_max': 4, 'mbstd_group_size': 2},
        }
        | fields
    )


def batch_at(config, devices, nimg, stage):
    """The part that this process feeds of the images at a position."""
    random, (first, count) = np.random.default_rng(nimg), devices.part(BATCH)
    image = config.image
    images = random.integers(0, 256, (BATCH, *image.stage_shape(stage), image.channels), np.uint8)
    labels = [random.integers(0, 2, (BATCH, image.label_dim)).astype(np.float32) for _ in range(2)]
    return Batch(*[array[first : first + count] for array in (images, *labels)])


def trajectory(config, steps, per_dispatch=1):
    """{name: array} of the state after `steps` iterations, and of the metrics of the last dispatch."""
    devices = training.Devices(config)
    state = training.create_state(
        config,
        generator=tiny.generator(config.generator),
        discriminator=tiny.discriminator(config.discriminator),
        lod=lod_at(config, 0),
    )
    step, state, lod = devices.iteration(), devices.replicate(state), lod_at(config, 0)
    for nimg in range(0, steps * BATCH, per_dispatch * BATCH):
        if nimg % (2 * BATCH) == 0:
            setting = setting_at(config, nimg)
            state = devices.replicate(training.enter_setting(config, state, setting, previous_lod=lod))
            lod = setting.lod
        batch = devices.arrange(
            *[batch_at(config, devices, nimg + number * BATCH, setting.stage) for number in range(per_dispatch)]
        )
        state, metrics = step(state, batch, setting.lr, stage=setting.stage)
    state = devices.local(state)
    assert state.cur_nimg == steps * BATCH
    return named(state.replace(key=jax.random.key_data(state.key))) | named(devices.local(metrics))


def named(tree):
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


if __name__ == '__main__':
    from stylegan_jax.runtime import cluster

    coordinator, processes, process, mode, out = sys.argv[1:]
    jax.config.update('jax_enable_x64', True)
    cluster.join(coordinator, int(processes), int(process))
    np.savez(f'{out}-{process}.npz', **trajectory(run_config(parallel=ParallelConfig(mode=mode)), 20))
