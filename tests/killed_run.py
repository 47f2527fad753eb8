"""An experiment for the tests that kill training: many short ticks from 4x4 through a fade to 8x8, saving at each.

It shows as many images as KILLED_RUN_NIMG says, and cannot read those from KILLED_RUN_FAIL_AT on.
"""

import dataclasses
import os

import tiny_run
from stylegan_jax.config import TrainConfig
from stylegan_jax.data import pipeline
from stylegan_jax.errors import UserError

if os.environ.get('KILLED_RUN_FAIL_AT'):
    read = pipeline._BatchesByIteration.__getitem__

    def failing(batches, index):
        position, _ = batches._iterations[index]
        if position >= int(os.environ['KILLED_RUN_FAIL_AT']):
            raise UserError(f'images at {position} cannot be read')
        return read(batches, index)

    pipeline._BatchesByIteration.__getitem__ = failing


def get_config():
    nimg = int(os.environ['KILLED_RUN_NIMG'])
    config = tiny_run.run_config(train=TrainConfig(total_kimg=nimg / 1000))
    half = nimg // 2 // 16 * 16 / 1000
    return dataclasses.replace(
        config, name='killed', schedule=dataclasses.replace(config.schedule, stage_kimg=half / 2, fade_kimg=half)
    )
