"""Makes the shards of a prepared set: each whole, at all stages at once, by one process, and stamped when it is there.

A process holds one image at a time. A start after an interruption makes the shards that have no stamp.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
import signal
import typing
from collections.abc import Callable

import numpy as np
from PIL import Image

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data.channels import value_extrema
from stylegan_jax.data.fitting import fitted, pyramid
from stylegan_jax.data.prepared import WORK, folder_of, name_of, shard_name
from stylegan_jax.data.records import RecordFormat
from stylegan_jax.data.sources import Unusable
from stylegan_jax.data.sources.base import MAX_UNUSABLE, PictureSource
from stylegan_jax.data.sources.pictures import failing_as_unusable
from stylegan_jax.data.values import merged
from stylegan_jax.data.worker import end_with_parent
from stylegan_jax.errors import UserError, require
from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.progress import progress_bar

PART = '.part-'  # with the number of a process, ends the names of files that are not whole yet
_WRITER_OPTIONS = 'group_size:1,uncompressed'  # each record can be read by itself; pictures are compressed already


@dataclasses.dataclass(frozen=True)
class Options:
    """All that a prepared set depends on beside its source.

    Attributes:
      image: the shape of the images at full size and at every stage; its label_dim is the source's.
      fit: see `fitting.fitted`.
      resize_filter: of the reduction to full size, 'box' or 'lanczos'; see `fitting.fitted`.
      level_filter: of the reduction to the stages below, 'box' or 'lanczos'; see `fitting.pyramid`.
      encoding: see `records.RecordFormat`.
      mirror_safe: whether a mirrored image is as good as the image.
      seed: of the shuffle.
      max_skipped: largest share of the images that may be left out.
      fourth_channel: the meaning of the last of four channels, 'alpha' or 'data'; see `pixels.box_reduce`.
      value_range: (black, white) among the values of pictures of more than 8 bits, or None; see
        `channels.to_channels`.
    """

    image: ImageConfig
    fit: str = 'crop'
    resize_filter: str = 'box'
    level_filter: str = 'box'
    encoding: str = 'raw'
    mirror_safe: bool = False
    seed: int = 0
    max_skipped: float = MAX_UNUSABLE
    fourth_channel: str = 'alpha'
    value_range: tuple[float, float] | None = None

    def __post_init__(self):
        require(0 <= self.max_skipped <= 1, 'max_skipped', self.max_skipped, 'give a share from 0 to 1')
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise UserError(
                'give black and then a larger white, such as 0,4095',
                field='value_range',
                value=','.join(f'{value:g}' for value in self.value_range),
            )

    def levels_of(self, picture: Image.Image | np.ndarray) -> list[np.ndarray]:
        """Returns a picture at every stage, uint8 [h, w, C], from full size down.

        Raises:
          Unusable: the picture cannot be used.
        """
        with failing_as_unusable():
            pixels = fitted(
                picture,
                self.image.shape,
                fit=self.fit,
                resize_filter=self.resize_filter,
                fourth_channel=self.fourth_channel,
                value_range=self.value_range,
            )
            return pyramid(pixels, self.image, self.level_filter, self.fourth_channel)


class Job(typing.NamedTuple):
    """A set to be made, and all that a process needs to make some of its shards.

    Attributes:
      source: where the pictures are.
      options: all that the set depends on beside its source.
      out: the set's folder, absolute.
      per_shard: how many of the source's images a shard is made of; the last shard may have fewer.
      num_shards: how many shards there are.
      one_hot: whether every label names one class.
    """

    source: PictureSource
    options: Options
    out: str
    per_shard: int
    num_shards: int
    one_hot: bool

    def format_of(self, stage: int) -> RecordFormat:
        """Returns the RecordFormat of a stage."""
        labels = self.source.labels
        return RecordFormat(
            (*self.options.image.stage_shape(stage), self.options.image.channels),
            self.options.encoding,
            labels.shape[1],
            self.one_hot,
            self.source.label_names,
        )

    def members(self, shard: int) -> np.ndarray:
        """Returns the indices of the source's images in a shard, int64 [size]."""
        return _order(self.options.seed, len(self.source))[shard * self.per_shard : (shard + 1) * self.per_shard]

    def size(self, shard: int) -> int:
        """Returns how many images a shard is made of."""
        return min(self.per_shard, len(self.source) - shard * self.per_shard)

    def path(self, stage: int, shard: int) -> str:
        """Returns the file of the records of a shard at a stage."""
        return os.path.join(
            folder_of(self.out, self.options.image, stage), shard_name(name_of(self.out), shard, self.num_shards)
        )

    def stamp(self, shard: int) -> str:
        """Returns the file that says that a shard is made, and from which images."""
        return os.path.join(self.out, WORK, f'shard-{shard:05d}.json')


@functools.lru_cache(maxsize=1)
def _order(seed, count):
    return np.random.Generator(np.random.PCG64(seed)).permutation(count)


def make_shards(job: Job, workers: int, say: Callable[[str], object], title: str | None) -> None:
    """Makes the shards of a set that have no stamp.

    Args:
      job: the set.
      workers: how many processes; 0 does the work in this one.
      say: takes lines for people.
      title: of the progress bar; None for none.

    Raises:
      UserError: a picture cannot be read now, or a process died.
      OSError: there is no room.
    """
    missing = missing_shards(job)
    if len(missing) < job.num_shards:
        say(f'{job.num_shards - len(missing)} of {job.num_shards} shards are there already')
    with progress_bar(len(job.source), title) as bar:
        bar.update(sum(job.size(shard) for shard in set(range(job.num_shards)) - set(missing)))
        if not workers:
            for shard in missing:
                _make_shard(job, shard, bar.update)
            return
        # While TensorFlow Datasets is imported for the first time, it replaces the import statement by one that fails
        # in whatever multiprocessing cleans up at that moment. So it is imported before there is anything to clean up
        _ = job.format_of(0).features
        context, others = multiprocessing.get_context('spawn'), set(multiprocessing.active_children())
        pool = concurrent.futures.ProcessPoolExecutor(min(workers, len(missing) or 1), context, _begin_worker, (job,))
        try:
            futures = {pool.submit(_make_shard_in_worker, shard): shard for shard in missing}
            for future in concurrent.futures.as_completed(futures):
                future.result()
                bar.update(job.size(futures[future]))
        except concurrent.futures.process.BrokenProcessPool as error:
            raise UserError(
                'a process that prepares died, perhaps for lack of memory',
                remedy='start the same command again, with fewer workers',
            ) from error
        except BaseException:  # the others would finish their shards first
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise
        finally:
            # Threads and queues end here, and not at some later moment.
            pool.shutdown(cancel_futures=True)


def missing_shards(job: Job) -> list[int]:
    """Returns the shards of a set that have no stamp."""
    return [shard for shard in range(job.num_shards) if not _is_made(job, shard)]


def _is_made(job, shard):
    """Says whether a shard has its stamp, and the files that the stamp describes."""
    try:
        with open(job.stamp(shard)) as file:
            sizes = [size for size, _ in json.load(file)['files']]
        return sizes == [os.path.getsize(job.path(stage, shard)) for stage in range(job.options.image.num_stages)]
    except (OSError, ValueError, KeyError, TypeError):
        return False


_job = None  # of this worker process


def _begin_worker(job):
    global _job
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    end_with_parent()


def _make_shard_in_worker(shard):
    _make_shard(_job, shard, lambda: None)


def _make_shard(job, shard, advance):
    """Writes a shard at all stages, and its stamp."""
    paths = [job.path(stage, shard) for stage in range(job.options.image.num_stages)]
    parts = [path + _part_suffix() for path in paths]
    try:
        members, skipped, content, extrema = _write_records(job, shard, parts, advance)
    except RuntimeError as error:  # raised by the writers where the disk is full
        raise OSError(f'{paths[-1]}: {" ".join(str(error).split())[:200]}') from error
    for part, path in zip(parts, paths):
        _check_readable(part, len(members))
        with open(part, 'rb') as file:
            os.fsync(file.fileno())  # before the stamp is written, or a crash could leave the stamp alone
        os.replace(part, path)
    write_json(
        job.stamp(shard),
        {
            'members': members,
            'skipped': skipped,
            'content': content,
            'extrema': merged(extrema),
            'files': [[os.path.getsize(path), _hash_of_file(path)] for path in paths],
        },
    )


def _write_records(job, shard, paths, advance):
    """Writes the records of a shard, one file for each stage.

    Returns:
      (indices of the images that were written, [name, reason] of those that were not, hash of the former, values of
      the pictures of more than 8 bits).
    """
    from array_record.python.array_record_module import ArrayRecordWriter

    image, options = job.options.image, job.options
    formats = [job.format_of(stage) for stage in range(image.num_stages)]
    members, skipped, content, extrema = [], [], hashlib.blake2b(digest_size=16), []
    # Closed at the end of the block also where an image raises an error; a writer that is not closed loses records.
    with contextlib.ExitStack() as stack:
        writers = [ArrayRecordWriter(path, _WRITER_OPTIONS) for path in paths]
        for writer in writers:
            stack.callback(writer.close)
        for index in map(int, job.members(shard)):
            advance()
            picture = None  # the next one would come beside it
            try:
                with failing_as_unusable():
                    picture = job.source.picture(index)
                levels = options.levels_of(picture)
            except Unusable as error:
                skipped.append([job.source.name(index), str(error)])
                continue
            if isinstance(picture, Image.Image) and (found := value_extrema(picture)):
                extrema = merged([*extrema, found])
            label = job.source.labels[index]
            content.update(np.ascontiguousarray(levels[0]))
            content.update(np.ascontiguousarray(label))
            for writer, form, level in zip(writers, formats, reversed(levels)):
                writer.write(form.serialize(level, label))
            members.append(index)
    return members, skipped, content.hexdigest(), extrema


def _check_readable(path, count):
    """Raises an OSError for a file that lost its end, because a writer that is closed does not report a full disk."""
    from array_record.python.array_record_module import ArrayRecordReader

    try:
        reader = ArrayRecordReader(path)
        found = reader.num_records()
        reader.close()
    except (RuntimeError, ValueError) as error:
        raise OSError(f'{path}: written in part only ({" ".join(str(error).split())[:100]})') from error
    if found != count:
        raise OSError(f'{path}: {found} of {count} records were written; the disk may be full')


def _hash_of_file(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def writing(path: str, mode: str = 'w') -> contextlib.AbstractContextManager[typing.IO]:
    """Opens a file of the set for writing, which appears whole or not at all; see `atomic.writing`."""
    return atomic.writing(path, mode, suffix=_part_suffix(), to_disk=True)


def write_json(path: str, value: typing.Any) -> None:
    """Writes a file of the set as JSON."""
    with writing(path) as file:
        json.dump(value, file, indent=1)


def _part_suffix():
    """Returns a suffix for this process alone: one of a killed preparation may still be writing the same shard."""
    return f'{PART}{os.getpid()}'
