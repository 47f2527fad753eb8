"""An experiment for the tests that kill training: many short ticks from 4x4 through a fade to 8x8, saving at each.

It shows as many images as KILLED_RUN_NIMG says.
"""
import dataclasses
import os

import tiny_run
from stylegan_jax.config import TrainConfig


def get_config():
    nimg = int(os.environ['KILLED_RUN_NIMG'])
    config = tiny_run.run_config(train=TrainConfig(total_kimg=nimg / 1000))
    half = nimg // 2 // 16 * 16 / 1000
    return dataclasses.replace(config, name='killed', schedule=dataclasses.replace(
        config.schedule, stage_kimg=half / 2, fade_kimg=half))
