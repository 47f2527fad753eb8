"""The networks, pictures and photos of the viewer's tests."""

import asyncio
import dataclasses
import io
import time

import numpy as np
import PIL.Image

import tiny
from stylegan_jax.editing.recipe import Recipe
from stylegan_jax.editing.recipe_painter import RecipePainter
from stylegan_jax.storage.checkpoint import Checkpoints
from stylegan_jax.training import network

GENERATOR = tiny.generator(tiny.generator_config(resolution=16))
OTHER = tiny.filled(GENERATOR, seed=7)


def painted(text, generator=GENERATOR):
    return RecipePainter(generator).picture(Recipe.parse(text))


def photo(side=40, kind='PNG', seed=0):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 8, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


async def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        await asyncio.sleep(0.02)
    assert condition()


def save_checkpoint(folder, nimg, generators):
    """Adds a checkpoint of a run at full size, of other weights each time."""
    config = tiny.run_config()
    state = tiny.state(config, lod=0.0)
    state = dataclasses.replace(state, g_ema=tiny.filled(state.g_ema, seed=nimg))
    checkpoints = Checkpoints(folder, keep=5)
    checkpoints.save(nimg, state, config, {})
    checkpoints.wait()
    checkpoints.close()
    generators[nimg] = network(config, state, 'ema')
