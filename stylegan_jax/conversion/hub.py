"""A folder as model hubs expect it: weights, settings, a picture, and a model card that says what is known."""

import json
import os
from collections.abc import Sequence

import numpy as np

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.conversion.request import Request
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation import results
from stylegan_jax.metrics.ways import by_way
from stylegan_jax.networks.generator import Generator
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.latents import latents
from stylegan_jax.sampling.sampler import Sampler
from stylegan_jax.sampling.seed_labels import labels_in_turn
from stylegan_jax.storage import loading, safetensors_file
from stylegan_jax.storage.stored_networks import HUB_FILE

_PIXELS = 1024  # longest side of the picture of samples
_MOST_COLUMNS, _LEAST_COLUMNS = 8, 3
_METRICS = 'metrics.jsonl'  # of a run

_CARD = """---
# FILL IN the licence of these weights, such as cc-by-4.0, and the data they were trained on; then delete this line.
license: unknown
datasets:
- FILL-IN
library_name: stylegan_jax
pipeline_tag: unconditional-image-generation
tags:
- stylegan
- gan
- jax
---

# FILL IN: a name

{about}

![Images of seeds 0 to {last}, as `stylegan_jax.generate` draws them]({samples})

## Use

With `stylegan_jax` installed, in this folder:

```python
{example}
```

`{weights}` holds {networks}, as plain arrays and their settings.
Nothing in it is executed. `config.json` repeats the settings.

## Licence and data

**FILL IN**: the licence of the weights; the data, its licence, and what it shows; what the network is not to be used
for.

## Training

{training}

## Metrics

{metrics}
"""
_NAMES = {
    'ema': 'the averaged generator (`ema`)',
    'G': 'the generator as trained (`G`)',
    'D': 'the discriminator (`D`)',
}


def write(path: str, request: Request) -> Sequence[str]:
    """Writes the folder.

    Args:
      path: of the folder, which does not exist.
      request: the networks; one of them makes images.

    Raises:
      UserError: none of them does.
    """
    generator = request.generator
    if generator is None:
        raise UserError(
            'the form hub shows images, and a discriminator makes none', field='which', value='D', remedy='choose ema'
        )
    os.mkdir(path)
    safetensors_file.write(
        os.path.join(path, HUB_FILE), request.networks, dtype=request.dtype, lod=request.lod, nimg=request.nimg
    )
    images, columns = _samples(generator, request.lod)
    grid.save_png(os.path.join(path, 'samples.png'), grid.image_grid(images, columns))
    header = safetensors_file.header_of(request.networks, lod=request.lod, nimg=request.nimg)
    with open(os.path.join(path, 'config.json'), 'w') as file:
        json.dump(header, file, indent=2)
        file.write('\n')
    with open(os.path.join(path, 'README.md'), 'w') as file:
        file.write(_card(request, len(images)))
    return []


def _samples(generator: Generator, lod):
    """Draws the images that `generate` makes of the first seeds: (uint8 [N, H, W, C], columns of the grid)."""
    stage, _ = stage_and_alpha(generator.config.image, lod)
    columns = max(_LEAST_COLUMNS, min(_MOST_COLUMNS, _PIXELS // max(generator.config.image.stage_shape(stage))))
    seeds, labels = list(range(columns * columns // (2 if columns == _MOST_COLUMNS else 1))), labels_in_turn(generator)
    sampler = Sampler(generator, lod=lod, count=len(seeds))
    batches = [seeds[start : start + sampler.batch] for start in range(0, len(seeds), sampler.batch)]
    inputs = ((latents(some, generator.z_dim), labels(some), None, labels.centers(some)) for some in batches)
    return np.concatenate(list(sampler.stream(inputs))), columns


def _card(request, count):
    image = request.generator.config.image
    height, width, channels = image.shape
    kind = 'Progressive GAN' if request.generator.config.is_progan else 'StyleGAN'
    labels = f', with labels of {image.label_dim} numbers' if image.label_dim else ''
    return _CARD.format(
        about=f'A generator of images of {height}x{width} pixels and {channels} channels{labels} ({kind}, in JAX).',
        last=count - 1,
        samples='samples.png',
        example=example(request.generator, request.lod),
        weights=HUB_FILE,
        networks=', '.join(_NAMES[name] for name in request.networks),
        training=_training(request),
        metrics=_metrics(request),
    )


def example(generator: Generator, lod: float) -> str:
    """Returns ten lines of Python that draw with the network of the folder in which they run."""
    config = generator.config
    arguments = ['z']
    if config.image.label_dim:
        rows = labels_in_turn(generator).rows[:4]
        is_class = generator.label_meaning is None or not generator.label_meaning.examples
        classes = np.resize(rows.argmax(axis=1), 4)
        label = f'jax.numpy.array({classes.tolist()})' if is_class else f'[{rows[0].tolist()}] * 4'
        arguments.append(f'label={label}')
    if config.truncation_psi is not None:
        arguments.append(f'psi={config.truncation_psi:g}')
    if lod:
        arguments.append(f'lod={lod!r}')
    pixels = 'picture' if config.image.channels in (3, 4) else 'picture[..., 0]'
    return f"""import jax
import numpy as np
import PIL.Image
import stylegan_jax as sgj
G = sgj.load('{HUB_FILE}')
z = jax.random.normal(jax.random.key(0), (4, G.z_dim))
images = G({', '.join(arguments)})  # [N, H, W, C], about [-1, 1]
pixels = np.uint8(np.clip(np.asarray(images) * 127.5 + 128, 0, 255))
for number, picture in enumerate(pixels):
    PIL.Image.fromarray({pixels}).save(f'picture{{number}}.png')"""


def _training(request):
    stage, alpha = stage_and_alpha(request.generator.config.image, request.lod)
    height, width = request.generator.config.image.stage_shape(stage)
    reached = f'It has reached {height}x{width} pixels' + ('.' if alpha == 1 else ', which fade in.')
    if request.nimg is None:
        return f'How long it was trained is not known. {reached}'
    return f'It was trained with `stylegan_jax`, and shown {request.nimg:,} real images. {reached}'


def _metrics(request):
    """Returns the results of a run at this checkpoint, or at the last one that was measured, as a table."""
    path = os.path.join(request.source, _METRICS)
    found = results.read(path) if loading.is_run(request.source) and os.path.isfile(path) else []
    of_card = [name for name, network in request.networks.items() if network is request.generator]
    found = [
        result for result in found if isinstance(result.get('nimg'), int) and result.get('which', 'ema') in of_card
    ]
    if not found:
        return 'None were measured.'
    newest = max((result['nimg'] for result in found if result['nimg'] <= (request.nimg or 0)), default=None)
    rows = [
        f'| {metric}{words and f" ({words})"} | {some[-1]["value"]:.6g} | {newest:,} |'
        for metric, of_ways in by_way(result for result in found if result['nimg'] == newest).items()
        for words, some in of_ways.items()
    ]
    if not rows:
        return 'None were measured up to this checkpoint.'
    return '\n'.join(['| metric | value | real images shown |', '|---|---|---|', *rows])
