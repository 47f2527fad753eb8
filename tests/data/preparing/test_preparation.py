"""Prepared data sets: what is in them, that interruptions change nothing, that nothing half-made passes for whole."""

import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
from test_pipeline import is_running

import damaged_files
import stylegan_jax
import tiny_run
from stylegan_jax import prepare_data
from stylegan_jax.config import Config, DataConfig, ImageConfig
from stylegan_jax.data import prepared
from stylegan_jax.data.dataset import open_dataset, with_found_labels
from stylegan_jax.data.pixels import box_reduce, to_uint8
from stylegan_jax.data.prepared import PreparedImages, folder_of, read_info
from stylegan_jax.data.preparing import preparation, shards
from stylegan_jax.data.preparing.outlook import look_ahead
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError

IMAGE = ImageConfig(8, label_dim=3)


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    """A folder of 150 random pictures of 8x8 of three classes."""
    folder, random = tmp_path_factory.mktemp('pictures'), np.random.default_rng(0)
    for index in range(150):
        pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f'{index:03d}.png')
    labels = [[f'{index:03d}.png', index % 3] for index in range(150)]
    (folder / 'dataset.json').write_text(json.dumps({'labels': labels}))
    return folder


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of 64 images, so that 150 images make three."""
    monkeypatch.setattr(preparation, '_SHARD_IMAGES', (64, 64))


def prepare(source, out, workers=0, image=IMAGE, **options):
    lines = []
    preparation.prepare(
        open_source(str(source)), str(out), preparation.Options(image, **options), workers=workers, say=lines.append
    )
    return lines


@pytest.fixture(scope='module')
def whole(pictures, tmp_path_factory):
    """A data set of three shards."""
    out = tmp_path_factory.mktemp('whole') / 'My Set'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, '_SHARD_IMAGES', (64, 64))
        prepare(pictures, out)
    return out


@pytest.fixture
def own_copy(whole, tmp_path):
    return pathlib.Path(shutil.copytree(whole, tmp_path / 'My Set'))


def contents(folder):
    return {os.path.relpath(path, folder): pathlib.Path(path).read_bytes() for path in tiny_run.files_below(folder)}


def original(pictures, index):
    return np.asarray(PIL.Image.open(pictures / f'{index:03d}.png'))


def order():
    return np.random.Generator(np.random.PCG64(0)).permutation(150)


# What is in it.


def test_every_image_is_there_once_in_shuffled_order(whole, pictures):
    images = PreparedImages(whole)
    assert len(images) == 150 and not np.array_equal(order(), np.arange(150))
    for place, index in enumerate(order()):
        np.testing.assert_array_equal(images.full_size(place), original(pictures, index))
        assert images.labels[place].tolist() == np.eye(3)[index % 3].tolist()


def test_lower_stages_are_means_rounded_once(whole, pictures):
    images = PreparedImages(whole)
    expected = to_uint8(box_reduce(original(pictures, order()[7]), 4, 4))
    np.testing.assert_array_equal(images.stage_images([7], 0)[0], expected)


def test_images_are_read_in_any_order_and_twice(whole):
    images = PreparedImages(whole)
    some = images.stage_images([149, 0, 64, 63, 0], 1)
    for row, index in zip(some, [149, 0, 64, 63, 0]):
        np.testing.assert_array_equal(row, images.full_size(index))


@pytest.mark.parametrize('encoding', ['raw', 'png', 'webp', 'jpeg'])
def test_plain_tfds_reads_it(pictures, tmp_path, encoding):
    prepare(pictures, tmp_path / 'My Set', encoding=encoding)
    images = PreparedImages(tmp_path / 'My Set')
    for stage in range(2):
        builder = tfds.builder_from_directory(folder_of(tmp_path / 'My Set', IMAGE, stage))
        assert (builder.name, builder.info.splits['train'].num_examples) == ('my_set', 150)
        for place, example in zip(range(3), builder.as_data_source('train')):
            np.testing.assert_array_equal(example['image'], images.stage_images([place], stage)[0])
            assert example['label'] == images.labels[place].argmax()


def test_metadata(whole, pictures):
    info = read_info(whole)
    assert info['count'] == 150 and info['image'] == {
        'resolution': 8,
        'base_shape': [4, 4],
        'channels': 3,
        'label_dim': 3,
    }
    assert info['source'] == {'kind': 'folder', 'path': str(pictures)} and len(info['content_hash']) == 32
    assert (info['fit'], info['resize_filter'], info['encoding'], info['num_skipped']) == ('crop', 'box', 'raw', 0)
    assert [shard['count'] for shard in info['shards']] == [64, 64, 22]


def test_the_content_hash_is_that_of_the_pixels(whole, pictures, tmp_path, small_shards):
    hashes = []
    for name, options in (('png', {'encoding': 'png'}), ('seed', {'seed': 1})):
        prepare(pictures, tmp_path / name, **options)
        hashes.append(read_info(tmp_path / name)['content_hash'])
    assert hashes[0] == read_info(whole)['content_hash'] != hashes[1]


def test_a_run_opens_it(whole, pictures):
    dataset = open_dataset(DataConfig(path=str(whole)), IMAGE)
    images = dataset.images(np.arange(150), 1)
    assert len(dataset) == 150 and dataset.labels.shape == (150, 3)
    np.testing.assert_array_equal(images[3], original(pictures, order()[3]))
    np.testing.assert_array_equal(dataset.images([3], 1), images[3:4])  # from memory now
    without = open_dataset(DataConfig(path=str(whole), count=40), ImageConfig(4))
    assert len(without) == 40 and without.labels.shape == (40, 0) and without.images([1], 0).shape == (1, 4, 4, 3)


def write_cutouts(folder):
    folder.mkdir()
    for index in range(20):
        pixels = np.zeros([16, 16, 4], np.uint8)
        pixels[2 : 9 + index % 5, 3:12] = (255, 255, 0, 255)
        PIL.Image.fromarray(pixels).save(folder / f'{index:02d}.png')
    return folder


def test_cutouts_keep_their_colour_and_other_data_are_as_before(tmp_path):
    source, image = write_cutouts(tmp_path / 'source'), ImageConfig(16, channels=4)
    for meaning in ('alpha', 'data'):
        prepare(source, tmp_path / meaning, image=image, fourth_channel=meaning)
        images = PreparedImages(tmp_path / meaning)
        assert images.fourth_channel == meaning
        lowest = images.stage_images(np.arange(20), 0)
        colours = lowest[lowest[..., 3] > 0][:, :3]
        assert (colours == (255, 255, 0)).all() == (meaning == 'alpha')
        full = images.stage_images(np.arange(20), 2)
        for one, reduced in zip(full, lowest):
            np.testing.assert_array_equal(reduced, to_uint8(box_reduce(one, 4, 4, fourth_channel=meaning)))
        config = Config(image=image, data=DataConfig(path=str(tmp_path / meaning)))
        assert with_found_labels(config).data.fourth_channel == meaning
    # No word of it where it is as it was before there was a choice.
    assert 'fourth_channel' not in (tmp_path / 'data' / 'prepared.json').read_text()
    for theirs, ours in (('alpha', 'data'), ('data', 'alpha')):
        with pytest.raises(UserError, match='options.fourth_channel: '):
            prepare(source, tmp_path / theirs, image=image, fourth_channel=ours)


@pytest.mark.parametrize('meaning', ['alpha', 'data'])
def test_a_folder_of_cutouts_is_trained_on_as_it_would_be_prepared(tmp_path, meaning):
    source, image = write_cutouts(tmp_path / 'source'), ImageConfig(16, channels=4)
    prepare(source, tmp_path / 'set', image=image, fourth_channel=meaning)
    dataset = open_dataset(DataConfig(path=str(source), fourth_channel=meaning), image)
    order = np.random.Generator(np.random.PCG64(0)).permutation(20)
    for stage in range(3):
        prepared_images = PreparedImages(tmp_path / 'set').stage_images(np.arange(20), stage)
        np.testing.assert_array_equal(dataset.images(order, stage), prepared_images)


def test_the_values_of_12_bits_are_said_and_scaled(tmp_path, caplog):
    source = tmp_path / 'source'
    source.mkdir()
    values = np.random.default_rng(0).integers(0, 4096, [30, 8, 8], np.uint16)
    for index, one in enumerate(values):
        PIL.Image.fromarray(one).save(source / f'{index:02d}.png')
    image = ImageConfig(8, channels=1)
    lines = prepare(source, tmp_path / 'dark', image=image)
    said = [line for line in lines if 'these will be nearly black' in line]
    assert len(said) == 2 and said[-1].endswith('prepare them with prepare_data --value_range=0,4095')
    assert f'{values.min()} to {values.max()}, where 65535 is white' in said[-1]
    assert PreparedImages(tmp_path / 'dark').full_size(0).max() < 16
    assert 'value_range' not in (tmp_path / 'dark' / 'prepared.json').read_text()

    lines = prepare(source, tmp_path / 'bright', image=image, value_range=(0, 4095))
    assert not [line for line in lines if 'black' in line]
    order = np.random.Generator(np.random.PCG64(0)).permutation(30)
    for place, index in enumerate(order):
        expected = np.rint(values[index] * (255 / 4095))
        np.testing.assert_array_equal(PreparedImages(tmp_path / 'bright').full_size(place)[..., 0], expected)
    assert read_info(tmp_path / 'bright')['value_range'] == [0, 4095]

    caplog.clear()
    open_dataset(DataConfig(path=str(source)), image)
    assert 'value_range=0,4095' in caplog.text
    with pytest.raises(UserError, match='value_range=5,5: give black and then a larger white'):
        preparation.Options(image, value_range=(5, 5))


@pytest.mark.parametrize('encoding', ['raw', 'png', 'webp', 'jpeg'])
def test_the_room_is_known_before(pictures, tmp_path, encoding, small_shards):
    source, options = open_source(str(pictures)), preparation.Options(IMAGE, encoding=encoding)
    (estimate,) = look_ahead(source, options, 64, [encoding]).sizes.values()
    lines = prepare(pictures, tmp_path / 'set', encoding=encoding)
    size = sum(size for shard in read_info(tmp_path / 'set')['shards'] for size, _ in shard['files'])
    assert estimate == size  # files are made of blocks
    assert lines[0].startswith('room that it takes: raw 0.8 MiB, png about 0.8 MiB, webp about ')
    assert lines[0].endswith(f'(now {encoding})')


# Interruptions.


def test_processes_write_the_same_bytes(whole, pictures, tmp_path, small_shards):
    prepare(pictures, tmp_path / 'My Set', workers=2)
    assert contents(tmp_path / 'My Set') == contents(whole)


def test_a_killed_preparation_goes_on_and_ends_with_the_same_bytes(
    whole, pictures, tmp_path, small_shards, monkeypatch
):
    make, out = shards._make_shard, tmp_path / 'My Set'
    for stop in (0, 1, 1):
        calls = []

        def failing(job, shard, advance):
            if len(calls) == stop:
                raise KeyboardInterrupt
            calls.append(shard)
            make(job, shard, advance)

        monkeypatch.setattr(shards, '_make_shard', failing)
        with pytest.raises(KeyboardInterrupt):
            prepare(pictures, out)
        with pytest.raises(UserError, match='was interrupted; start the same prepare_data command again'):
            PreparedImages(out)
        (out / '8x8' / '1.0.0' / 'left.part-77').write_bytes(b'half')
    monkeypatch.setattr(shards, '_make_shard', make)
    assert prepare(pictures, out)[0] == '2 of 3 shards are there already'
    assert contents(out) == contents(whole)


@pytest.mark.full
@pytest.mark.parametrize(
    'numbers',
    [
        (signal.SIGKILL, signal.SIGTERM),
        (signal.SIGKILL, signal.SIGKILL, signal.SIGINT),
    ],
)
def test_a_preparation_killed_at_random_instants_ends_with_the_same_bytes(tmp_path, numbers):
    """The command itself, with its processes; none of them outlives it."""
    args = [
        sys.executable,
        '-m',
        'stylegan_jax.prepare_data',
        '--source=toy_faces:700@32',
        '--resolution=32',
        '--workers=2',
    ]
    subprocess.run([*args, f'--out={tmp_path / "whole"}'], check=True, capture_output=True)
    random = np.random.default_rng(5)
    for number in numbers:
        process = subprocess.Popen(
            [*args, f'--out={tmp_path / "killed"}'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(random.uniform(1.5, 5))
        process.send_signal(number)
        assert process.wait(30) in (0, -number, 128 + number)
    subprocess.run([*args, f'--out={tmp_path / "killed"}'], check=True, capture_output=True)
    assert {name for name in contents(tmp_path / 'killed') if '.part' in name} == set()
    whole, killed = contents(tmp_path / 'whole'), contents(tmp_path / 'killed')
    assert whole.keys() == {name.replace('killed-', 'whole-') for name in killed}
    assert all(
        killed[name.replace('whole-', 'killed-')] == data
        for name, data in whole.items()
        if 'array_record' in name or name.endswith('.npy')
    )


def test_processes_end_with_the_one_that_started_them(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            '-m',
            'stylegan_jax.prepare_data',
            '--source=toy_faces:9000@64',
            '--resolution=64',
            '--workers=2',
            f'--out={tmp_path / "out"}',
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        limit = time.monotonic() + 60
        while len({path.suffix for path in (tmp_path / 'out').rglob('*.part-*')}) < 2:  # both are at work
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.02)
        children = pathlib.Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
    finally:
        process.kill()
        process.wait()
    assert len(children) >= 2
    limit = time.monotonic() + 10
    while any(map(is_running, children)):
        assert time.monotonic() < limit, 'processes outlive the one that started them'
        time.sleep(0.02)


WATCHED = """
import contextlib, multiprocessing.util, sys, traceback
from multiprocessing.synchronize import SemLock
from etils import epy

lazy_imports = epy.lazy_imports

@contextlib.contextmanager
def watched(*args, **kwargs):
    waiting = [each for each in multiprocessing.util._finalizer_registry.values() if each._callback is SemLock._cleanup]
    assert not waiting, f'{len(waiting)} semaphores'
    with lazy_imports(*args, **kwargs):
        print('watched', flush=True)
        yield

epy.lazy_imports = watched

if __name__ == '__main__':
    from stylegan_jax import prepare_data
    from stylegan_jax.cli import command

    command.run(prepare_data.main, prepare_data.FLAGS)
"""


def test_nothing_is_left_to_clean_up_while_tfds_replaces_the_import_statement(pictures, tmp_path):
    """Semaphores of a pool that is gone would be, at an instant that chance decides, and fail with a traceback."""
    (tmp_path / 'program.py').write_text(WATCHED)
    arguments = [f'--source={pictures}', f'--out={tmp_path / "out"}', '--resolution=8', '--workers=1']
    command = [sys.executable, tmp_path / 'program.py', *arguments]
    root = os.path.dirname(os.path.dirname(stylegan_jax.__file__))
    done = subprocess.run(command, env=os.environ | {'PYTHONPATH': root}, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert 'watched' in done.stdout and '150 images' in done.stdout
    assert not [line for line in done.stderr.splitlines() if line.strip() and 'preparing' not in line]


def test_a_stamp_without_its_files_is_not_believed(whole, pictures, tmp_path, small_shards, monkeypatch):
    """As a machine leaves it that lost its power."""
    out, finish = tmp_path / 'My Set', preparation._finish
    monkeypatch.setattr(preparation, '_finish', lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare(pictures, out)
    monkeypatch.setattr(preparation, '_finish', finish)
    os.truncate(shard_of(out), 0)
    shard_of(out, 2).unlink()
    assert prepare(pictures, out)[0] == '1 of 3 shards are there already'
    assert contents(out) == contents(whole)


def test_preparing_again_names_what_is_missing(own_copy, pictures, small_shards):
    shard_of(own_copy).unlink()
    with pytest.raises(UserError, match='00001-of-00003: is missing'):
        prepare(pictures, own_copy)


def test_few_files_are_open_at_once(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, '_SHARD_IMAGES', (1, 1))
    monkeypatch.setattr(prepared, '_OPEN_FILES', 4)
    prepare(pictures, tmp_path / 'out')
    images, before = PreparedImages(tmp_path / 'out'), len(os.listdir('/proc/self/fd'))
    for stage in (0, 1):
        np.testing.assert_array_equal(images.stage_images(range(150), stage)[17], images.stage_images([17], stage)[0])
    assert len(os.listdir('/proc/self/fd')) <= before + 8


def test_the_same_again_is_done_at_once(own_copy, pictures, small_shards):
    before = contents(own_copy)
    assert prepare(pictures, own_copy) == [f'{own_copy}: already prepared, 150 images']
    assert contents(own_copy) == before


def test_another_preparation_in_its_place_is_refused(own_copy, pictures, small_shards):
    with pytest.raises(UserError, match=r"from something else \(options.encoding: 'raw' there, 'png' now\)"):
        prepare(pictures, own_copy, encoding='png')


def test_a_folder_that_holds_something_else_is_refused(pictures, tmp_path):
    (tmp_path / 'thesis.txt').write_text('important')
    with pytest.raises(UserError, match='holds something else; choose a new one'):
        prepare(pictures, tmp_path)
    assert os.listdir(tmp_path) == ['thesis.txt']


def test_a_folder_of_pictures_is_left_alone(pictures, run_command):
    before = contents(pictures)
    code, _, err = run_command(prepare_data, f'--source={pictures}', f'--out={pictures}', '--resolution=8')
    assert code == 2 and err.endswith(': this folder holds something else; choose a new one\n')
    assert contents(pictures) == before


# Sources that are not as they should be.


def test_a_source_that_changes_meanwhile_is_noticed(pictures, tmp_path, small_shards, monkeypatch):
    source = pathlib.Path(shutil.copytree(pictures, tmp_path / 'pictures'))
    make = shards._make_shard

    def changing(job, shard, advance):
        make(job, shard, advance)
        PIL.Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(source / '017.png')

    monkeypatch.setattr(shards, '_make_shard', changing)
    with pytest.raises(UserError, match='017.png: changed while it was read'):
        prepare(source, tmp_path / 'out')
    with pytest.raises(UserError, match='was interrupted'):
        PreparedImages(tmp_path / 'out')


def test_a_fault_of_the_machine_skips_no_image(pictures, tmp_path, monkeypatch):
    source = open_source(str(pictures))
    picture = type(source).picture

    def failing(self, index):
        if index == 40:
            raise OSError(24, 'Too many open files', 'some.png')
        return picture(self, index)

    monkeypatch.setattr(type(source), 'picture', failing)
    with pytest.raises(UserError, match='some.png: cannot be read .Too many open files.; start the same command again'):
        prepare(pictures, tmp_path / 'out')


def test_few_bad_images_are_skipped_and_named_and_many_are_not(pictures, tmp_path):
    source = pathlib.Path(shutil.copytree(pictures, tmp_path / 'pictures'))
    data = (source / '031.png').read_bytes()
    (source / '031.png').write_bytes(data[: len(data) // 2])
    prepare(source, tmp_path / 'one')
    info = read_info(tmp_path / 'one')
    assert info['count'] == 149 and [name for name, _ in info['skipped']] == ['031.png']
    assert len(PreparedImages(tmp_path / 'one').labels) == 149
    message = (
        rf'1 of 150 images cannot be used, such as 031.png \(.*; mend .*, remove the folder {tmp_path}/none and start '
        'again, or leave them out: the same command with max_skipped=0.01 goes on from here$'
    )
    with pytest.raises(UserError, match=message):
        prepare(source, tmp_path / 'none', max_skipped=0.0)
    assert prepare(source, tmp_path / 'none', max_skipped=0.01)[0] == '1 of 1 shards are there already'
    assert read_info(tmp_path / 'none')['count'] == 149


def test_pictures_that_are_too_small_are_told_their_resolution(tmp_path):
    (tmp_path / 'pictures').mkdir()
    for number in range(3):
        PIL.Image.fromarray(np.zeros([20, 18, 3], np.uint8)).save(tmp_path / 'pictures' / f'{number}.png')
    message = r'; set resolution=16 \(and another out\), for which the small ones suffice, or mend or remove them, remo'
    with pytest.raises(UserError, match=message) as caught:
        prepare(tmp_path / 'pictures', tmp_path / 'out', image=ImageConfig(64), max_skipped=1)
    assert 'max_skipped' not in str(caught.value)


@pytest.mark.parametrize(
    'sides, remedy',
    [
        ([9, 4], r'set resolution=8 \(and another out\), for which enough of the small ones suffice, or mend'),
        ([9, 0, 0], 'mend or remove them'),  # the damaged ones alone are too many
    ],
)
def test_another_resolution_is_suggested_only_where_it_helps(tmp_path, sides, remedy):
    (tmp_path / 'pictures').mkdir()
    for number, side in enumerate(sides + [16] * (12 - len(sides))):
        path = tmp_path / 'pictures' / f'{number}.png'
        PIL.Image.fromarray(np.zeros([side, side, 3], np.uint8)).save(path) if side else path.write_bytes(b'x')
    with pytest.raises(UserError, match=f'{len(sides)} of 12 images cannot be used, .*; {remedy}'):
        prepare(tmp_path / 'pictures', tmp_path / 'out', image=ImageConfig(16), max_skipped=0.1)


# Sets that are damaged.


def shard_of(out, number=1, stage='8x8'):
    return sorted((out / stage / '1.0.0').glob('*array_record*'))[number]


@pytest.mark.parametrize(
    'damage, message',
    [
        (lambda path: os.truncate(path, os.path.getsize(path) // 2), 'bytes instead of'),
        (lambda path: path.unlink(), 'is missing'),
    ],
)
def test_truncated_and_missing_shards_are_named(own_copy, damage, message):
    damage(shard_of(own_copy))
    with pytest.raises(UserError, match=f'{shard_of(own_copy, 0).parent}.*00001-of-00003: .*{message}'):
        open_dataset(DataConfig(path=str(own_copy)), IMAGE)


def test_a_damaged_record_is_named_when_it_is_read(own_copy):
    path = shard_of(own_copy)
    data = bytearray(path.read_bytes())
    data[100:-100] = bytes(len(data) - 200)
    path.write_bytes(data)
    dataset = open_dataset(DataConfig(path=str(own_copy)), IMAGE)
    with pytest.raises(UserError, match='00001-of-00003: a record cannot be read'):
        dataset.images(np.arange(150), 1)


def test_records_of_another_shape_are_named(own_copy):
    shutil.copy(shard_of(own_copy, 1, '8x8'), shard_of(own_copy, 1, '4x4'))
    info = json.loads((own_copy / 'prepared.json').read_text())
    info['shards'][1]['files'][0] = info['shards'][1]['files'][1]
    (own_copy / 'prepared.json').write_text(json.dumps(info))
    with pytest.raises(UserError, match='4x4.*00001-of-00003: a record cannot be read'):
        PreparedImages(own_copy).stage_images([70], 0)


@pytest.mark.parametrize('text', ['', '{', '{"format": "other", "version": 1}', '[]'])
def test_a_damaged_marker_is_named(own_copy, text):
    (own_copy / 'prepared.json').write_text(text)
    with pytest.raises(UserError, match='prepared.json: cannot be read'):
        PreparedImages(own_copy)


def test_labels_of_another_length_are_named(own_copy):
    np.save(own_copy / 'labels.npy', np.zeros((150, 2), np.float32))
    with pytest.raises(UserError, match=r'labels.npy: labels of shape \(150, 2\) instead of \(150, 3\)'):
        PreparedImages(own_copy)


@pytest.mark.parametrize(
    'image, message',
    [
        (ImageConfig(16), 'image.resolution=16: .* has at most 8 pixels'),
        (ImageConfig(8, base_shape=(3, 4)), r'its images are 8x8x3 over a base shape of \(4, 4\)'),
        (ImageConfig(8, channels=1), 'its images are 8x8x3'),
        (ImageConfig(8, label_dim=2), 'labels of length 3; set image.label_dim=3, or 0'),
    ],
)
def test_a_run_that_asks_for_something_else_is_refused(whole, image, message):
    with pytest.raises(UserError, match=message):
        open_dataset(DataConfig(path=str(whole)), image)


@pytest.mark.parametrize('count', [100, pytest.param(1100, marks=pytest.mark.slow)])
def test_pictures_with_random_damage_are_used_or_skipped(tmp_path, count):
    """And nothing else: no crash, and no error that ends the whole."""
    chance, random = damaged_files.random.Random(count), np.random.default_rng(0)
    (tmp_path / 'pictures').mkdir()
    for kind in ('png', 'jpeg', 'webp'):
        picture, file = PIL.Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)), io.BytesIO()
        picture.save(file, kind)
        for number in range(count):
            content = damaged_files.damaged(file.getvalue(), range(len(file.getvalue())), chance)
            (tmp_path / 'pictures' / f'{number}.{kind}').write_bytes(content)
    picture.save(tmp_path / 'pictures' / 'whole.png')
    prepare(tmp_path / 'pictures', tmp_path / 'out', image=ImageConfig(8), max_skipped=1)
    info = read_info(tmp_path / 'out')
    assert info['num_skipped'] + info['count'] == 3 * count + 1 and min(info['num_skipped'], info['count']) > count / 10


def test_no_room(pictures, tmp_path, monkeypatch):
    disk = tmp_path / 'disk'
    disk.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=200k', 'tmpfs', disk], capture_output=True).returncode:
        pytest.skip('only root can mount a small file system')
    try:
        with pytest.raises(UserError, match='there is no room: .* MiB are needed, and 0.2 MiB are free'):
            prepare(pictures, disk / 'out')
        monkeypatch.setattr(preparation, 'check_room', lambda *_: None)  # others may fill the disk later
        with pytest.raises(UserError, match='make room or choose another out, and start the same command again'):
            prepare(pictures, disk / 'out')
        with pytest.raises(UserError, match='was interrupted|no prepared data set'):
            PreparedImages(disk / 'out')
    finally:
        subprocess.run(['umount', disk], check=True)
