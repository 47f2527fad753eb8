"""Prepare a data set: any images, once, at every resolution of the training.

    python -m stylegan_jax.prepare_data --source=my-images.zip --out=data/mine --resolution=128
    python -m stylegan_jax.prepare_data --source=ffhq/images1024x1024 --out=data/ffhq --resolution=1024 --mirror_safe
    python -m stylegan_jax.prepare_data --source=bedroom_train_lmdb --out=data/bedroom --resolution=256
    python -m stylegan_jax.prepare_data --source=my-images --resolution=128 --check
    python -m stylegan_jax.prepare_data --describe=data/mine

A source is a folder (searched to any depth) or zip of images (PNG, JPEG, WebP, BMP, TIFF, GIF, PPM, AVIF, JPEG 2000),
a folder of the official multi-resolution TFRecords, an LSUN LMDB, an .npz of arrays, tfds:NAME (or tfds:DIRECTORY) of
TensorFlow Datasets, or toy_faces:COUNT@RESOLUTION. Train on the result with --config.data.path=OUT.
"""

import os
import signal
import sys

import numpy as np
from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.cli.parsing import LARGEST_SEED
from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data import prepared
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.data.labels import described
from stylegan_jax.data.pixels import FOURTH_CHANNELS
from stylegan_jax.data.preparing import preparation
from stylegan_jax.data.preparing.outlook import look_ahead
from stylegan_jax.data.preparing.preparation import examples_of
from stylegan_jax.data.preparing.source_check import check
from stylegan_jax.data.records import ENCODINGS
from stylegan_jax.data.source_sample import pictures_at_once
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.folder_lock import FolderLock
from stylegan_jax.runtime.threads import NUM_THREADS
from stylegan_jax.sampling import grid

FLAGS = flags.FlagValues()
_SOURCE = flags.DEFINE_string('source', None, 'What to read; see above.', flag_values=FLAGS)
_OUT = flags.DEFINE_string(
    'out', None, 'Folder of the prepared set; its name becomes the name of the set.', flag_values=FLAGS
)
_RESOLUTION = flags.DEFINE_integer('resolution', None, 'Longer side at full size [pixels].', flag_values=FLAGS)
_BASE_SHAPE = flags.DEFINE_string(
    'base_shape', '4,4', 'H,W of the lowest stage; 3,4 makes 384x512 of --resolution=512.', flag_values=FLAGS
)
_CHANNELS = flags.DEFINE_integer('channels', 3, '1 (grey), 3 (colour) or 4 (with transparency).', flag_values=FLAGS)
_FIT = flags.DEFINE_enum(
    'fit',
    'crop',
    ['crop', 'pad', 'resize', 'exact', 'wide'],
    'How pictures of other sizes become full-size ones: the largest central box, reduced (crop); '
    'whole, on black (pad); whole, of another aspect (resize); not at all (exact); 4:3 on a black '
    'square by the arithmetic of the official LSUN Car (wide).',
    flag_values=FLAGS,
)
_RESIZE_FILTER = flags.DEFINE_enum(
    'resize_filter',
    None,
    ['box', 'lanczos'],
    'Of the reduction to full size; the default is lanczos for LSUN, box otherwise.',
    flag_values=FLAGS,
)
_LEVEL_FILTER = flags.DEFINE_enum(
    'level_filter', 'box', ['box', 'lanczos'], 'Of the reduction to the stages below.', flag_values=FLAGS
)
_ENCODING = flags.DEFINE_enum(
    'encoding',
    'raw',
    ENCODINGS,
    'raw reads fastest; png and webp are smaller and lose nothing; jpeg is smallest.',
    flag_values=FLAGS,
)
_LABELS = flags.DEFINE_enum(
    'labels',
    'auto',
    ['auto', 'none', 'folders', 'attributes'],
    "auto: those of a dataset.json, or the source's own; folders: names of the top folders, below those that all "
    'pictures share; attributes: of toy faces.',
    flag_values=FLAGS,
)
_COUNT = flags.DEFINE_integer('count', 0, 'Use only the first COUNT images; 0 = all.', flag_values=FLAGS)
_MIRROR_SAFE = flags.DEFINE_bool(
    'mirror_safe', False, 'Note that a mirrored image is as good as the image.', flag_values=FLAGS
)
_MAX_SKIPPED = flags.DEFINE_float(
    'max_skipped',
    None,
    'Largest share of images that may be left out as too small or damaged; the default is 1 for LSUN, 0.01 otherwise.',
    flag_values=FLAGS,
)
_FOURTH_CHANNEL = flags.DEFINE_enum(
    'fourth_channel',
    'alpha',
    FOURTH_CHANNELS,
    'Of --channels=4: alpha, opacity, by which colours are weighted where images are reduced; or data, anything else.',
    flag_values=FLAGS,
)
_VALUE_RANGE = flags.DEFINE_list(
    'value_range',
    None,
    'BLACK,WHITE among the values of pictures of more than 8 bits, such as 0,4095 for 12 bits; the default is 0,65535, '
    'of which the high byte is kept.',
    flag_values=FLAGS,
)
_SEED = flags.DEFINE_integer(
    'seed', 0, 'Of the order in which images are stored.', lower_bound=0, upper_bound=LARGEST_SEED, flag_values=FLAGS
)
_WORKERS = flags.DEFINE_integer(
    'workers',
    None,
    'Processes; the default is one a core, 16 at most, and fewer where photos are so large that memory would not do; '
    '0 does the work in this one.',
    lower_bound=0,
    flag_values=FLAGS,
)
_CHECK = flags.DEFINE_bool(
    'check', False, 'Read the source, report on it and on the set to be made, and write nothing.', flag_values=FLAGS
)
_DESCRIBE = flags.DEFINE_string(
    'describe', None, 'Print a description of a prepared set, and write contact_sheet.png into it.', flag_values=FLAGS
)


def main(argv: list[str]) -> int:
    """Prepares, checks or describes a data set; returns the exit code."""
    del argv
    if _DESCRIBE.value is not None:
        print(describe(_DESCRIBE.value))
        return 0
    for flag in (_SOURCE, _RESOLUTION) if _CHECK.value else (_SOURCE, _OUT, _RESOLUTION):
        if flag.value is None:
            raise UserError(f'--{flag.name} is missing; see --help')
    source = open_source(_SOURCE.value, labels=_LABELS.value, count=_COUNT.value)
    options = _options(source)
    if _CHECK.value:
        report = check(source, options.image, fit=options.fit, max_skipped=options.max_skipped)
        print(report.text)
        if report.usable:
            print(*look_ahead(source, options, preparation.shard_images(options)).lines(options), sep='\n')
        return 0 if report.usable else 2
    for note in source.notes:
        print(f'note: {note}')
    signal.signal(signal.SIGTERM, _interrupt)
    out = os.path.expanduser(_OUT.value)
    inside = os.path.realpath(os.path.expanduser(_SOURCE.value)) + os.sep
    if os.path.isdir(inside) and os.path.realpath(out).startswith(inside):
        raise UserError(
            'it is inside the source, which would change',
            field='out',
            value=_OUT.value,
            remedy='choose another folder',
        )
    preparation.check_place(out)
    _make_folder(out)
    with FolderLock(out, field='out'):
        preparation.prepare(source, out, options, workers=_workers(source))
    print(f'labels: {described(source.labels, source.label_names).removeprefix("no labels") or "none"}')
    print(f'train on it with --config.data.path={_OUT.value}, look at it with --describe={_OUT.value}')
    return 0


def describe(path: str) -> str:
    """Returns a description of a prepared set, and writes a contact sheet into its folder."""
    images = prepared.PreparedImages(path)
    info, image = images.info, images.image
    stages = ', '.join('x'.join(map(str, image.stage_shape(stage))) for stage in range(image.num_stages))
    size = sum(size for shard in info['shards'] for size, _ in shard['files'])
    lines = [
        f'{path}: {len(images)} images of {"x".join(map(str, image.shape))}, {size / 2**20:.1f} MiB',
        f'stages: {stages}',
        f'source: {info["source"]["kind"]} {info["source"]["path"]}'
        + (f'; {info["num_skipped"]} skipped, {examples_of(info["skipped"])}' if info['num_skipped'] else ''),
        f'made with: fit {info["fit"]}, {info["resize_filter"]} filter to full size, {info["level_filter"]} '
        f'filter below; stored as {info["encoding"]}, order of seed {info["seed"]}',
        *_channel_lines(info),
        f'mirrored images are {"as good" if info["mirror_safe"] else "not known to be as good"}',
        f'content hash: {info["content_hash"]}',
        *_label_lines(images),
    ]
    sheet = os.path.join(path, 'contact_sheet.png')
    columns, rows = int(np.clip(1280 // image.shape[1], 4, 16)), int(np.clip(960 // image.shape[0], 3, 12))
    pixels = Dataset(images).images(np.arange(min(len(images), columns * rows)), image.num_stages - 1)
    grid.save_png(sheet, grid.enlarge(grid.image_grid(pixels, columns), max(1, 64 // image.resolution)))
    return '\n'.join([*lines, f'contact sheet: {sheet}'])


def _channel_lines(info):
    if info['image']['channels'] == 4:
        weighted = prepared.fourth_channel_of(info) == 'alpha'
        yield 'fourth channel: ' + ('opacity, by which colours are weighted' if weighted else 'reduced by itself')
    if 'value_range' in info:
        black, white = info['value_range']
        yield f'values of more than 8 bits: {black:g} is black, {white:g} is white'


def _label_lines(images):
    if not images.labels.shape[1]:
        return ['labels: none']
    names = images.label_names or [f'class {label}' for label in range(images.labels.shape[1])]
    counts = np.asarray(images.labels > 0.5).sum(axis=0)
    listed = [f'  {name}: {count}' for name, count in zip(names, counts)]
    return [
        f'labels: {len(names)} ' + ('classes' if images.info['one_hot'] else 'attributes'),
        *listed[:50],
        *(['  ...'] if len(listed) > 50 else []),
    ]


def _options(source):
    try:
        base_shape = tuple(int(side) for side in _BASE_SHAPE.value.split(','))
    except ValueError:
        raise UserError(
            'give two sides with a comma between them, such as 4,4', field='base_shape', value=_BASE_SHAPE.value
        ) from None
    if _CHANNELS.value not in (1, 3, 4):
        raise UserError('give 1, 3 or 4', field='channels', value=_CHANNELS.value)
    return preparation.Options(
        image=ImageConfig(_RESOLUTION.value, base_shape, _CHANNELS.value, source.labels.shape[1]),
        fit=_FIT.value,
        resize_filter=_RESIZE_FILTER.value or source.resize_filter,
        level_filter=_LEVEL_FILTER.value,
        encoding=_ENCODING.value,
        mirror_safe=_MIRROR_SAFE.value,
        seed=_SEED.value,
        max_skipped=source.max_skipped if _MAX_SKIPPED.value is None else _MAX_SKIPPED.value,
        fourth_channel=_FOURTH_CHANNEL.value,
        value_range=_value_range(),
    )


def _value_range():
    if _VALUE_RANGE.value is None:
        return None
    try:
        black, white = (float(value) for value in _VALUE_RANGE.value)
        return black, white
    except ValueError:
        raise UserError(
            'give black and white with a comma between them, such as 0,4095',
            field='value_range',
            value=','.join(_VALUE_RANGE.value),
        ) from None


def _workers(source):
    if source.in_memory:  # each process would hold all of them
        return 0
    return min(NUM_THREADS, pictures_at_once(source)) if _WORKERS.value is None else _WORKERS.value


def _make_folder(path):
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UserError(
            f'cannot be made ({error.strerror})', field='out', value=path, remedy='choose another folder'
        ) from None


def _interrupt(number, frame):
    print('stopped; the same command goes on from here', file=sys.stderr)
    raise SystemExit(128 + number)


if __name__ == '__main__':
    command.run(main, FLAGS)
