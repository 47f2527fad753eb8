"""Runs of a few steps for the tests of the commands."""

import contextlib
import json
import os
import threading

import jax

import tiny
from stylegan_jax.config import DataConfig, LogConfig, ScheduleConfig, TrainConfig
from stylegan_jax.config.schedule import resolve
from stylegan_jax.storage.checkpoint import Checkpoints


def run_config(letter='F', **fields):
    """40 drawn faces from 4x4 to 8x8 in 160 images.

    The schedule is looked at every 16 images: 4x4 up to 48, a fade at alpha 0.5 up to 64, then 8x8. A tick is
    32 images.
    """
    return resolve(
        tiny.run_config(
            letter,
            **{
                'data': DataConfig(source='toy_faces', count=40),
                'schedule': ScheduleConfig(initial_resolution=4, batch=4, stage_kimg=0.032, fade_kimg=0.032),
                'train': TrainConfig(total_kimg=0.16),
                'log': LogConfig(tick_kimg=0.032, tick_kimg_by_resolution={}, keep_checkpoints=2, grid_size=(4, 2)),
            }
            | fields,
        )
    )


def saved_state(workdir, config):
    """(TrainState with its key as plain data, progress) of the newest checkpoint."""
    checkpoints = Checkpoints(workdir)
    try:
        saved = checkpoints.restore(config)
    finally:
        checkpoints.close()
    return plain(saved.state), saved.progress


def plain(state):
    """A TrainState whose leaves are all numbers."""
    return state.replace(key=jax.random.key_data(state.key))


def log_entries(workdir, leave_out=()):
    """The entries of log.jsonl without some of their fields."""
    with open(os.path.join(workdir, 'log.jsonl')) as file:
        entries = map(json.loads, file.readlines())
    return [{name: value for name, value in entry.items() if name not in leave_out} for entry in entries]


def files_below(folder):
    """{path: (size, time of the last change)} of everything in a folder."""
    paths = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
    return {path: (os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in paths}


@contextlib.contextmanager
def count_compilations():
    """Gives a list of the threads in which XLA compiled something, one entry for each program."""
    threads = []

    def listen(event, *args, **kwargs):
        if event == '/jax/core/compile/backend_compile_duration':
            threads.append(threading.current_thread().name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield threads
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
