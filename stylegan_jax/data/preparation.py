"""Turning a source into a prepared data set: pixels at every stage as ArrayRecord shards that tfds reads.

    OUT/8x8/1.0.0/NAME-train.array_record-00000-of-00004 ...      a tfds configuration for each stage
    OUT/labels.npy                                                what the records' labels are, in their order
    OUT/prepared.json                                             what the set is; written last

The images are shuffled once, here, and cut into shards. A shard is made whole, at all stages at once, by one process
that holds one image at a time, and is stamped when it is there; a start after an interruption makes the shards that
have no stamp. All of it depends on the source and the options alone, so the bytes are the same.
"""
import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
import typing

import numpy as np

from stylegan_jax.config import ImageConfig, to_dict
from stylegan_jax.data.fitting import fitted, pyramid
from stylegan_jax.data.pixels import progress_bar
from stylegan_jax.data.prepared import (
    LABELS, MARKER, VERSION, WORK, PreparedImages, folder_of, name_of, read_info, shard_name)
from stylegan_jax.data.records import RecordFormat
from stylegan_jax.data.sources import Unusable
from stylegan_jax.data.sources.pictures import failing_as_unusable
from stylegan_jax.errors import UserError

_SHARD_BYTES = 256 << 20            # of full-size pixels in a shard ...
_SHARD_IMAGES = (64, 4096)          # ... but no fewer and no more images than these
_WRITER_OPTIONS = 'group_size:1,uncompressed'       # each record can be read alone; pictures are compressed already


@dataclasses.dataclass(frozen=True)
class Options:
    """What a prepared set depends on beside its source.

    Attributes:
      image: ImageConfig; its label_dim is the source's.
      fit: see `fitting.fitted`.
      resize_filter: of the reduction to full size, 'box' or 'lanczos'.
      level_filter: of the reduction to the stages below, likewise.
      encoding: see `records.RecordFormat`.
      mirror_safe: whether a mirrored image is as good as the image.
      seed: of the shuffle.
      max_skipped: largest share of the images that may be left out.
    """
    image: ImageConfig
    fit: str = 'crop'
    resize_filter: str = 'box'
    level_filter: str = 'box'
    encoding: str = 'raw'
    mirror_safe: bool = False
    seed: int = 0
    max_skipped: float = 0.01


class _Job(typing.NamedTuple):
    """What every process needs."""
    source: typing.Any
    options: Options
    out: str
    per_shard: int
    num_shards: int
    one_hot: bool

    def format_of(self, stage):
        labels = self.source.labels
        return RecordFormat((*self.options.image.stage_shape(stage), self.options.image.channels),
                            self.options.encoding, labels.shape[1], self.one_hot, self.source.label_names)

    def members(self, shard):
        """Indices of the source's images in a shard."""
        return _order(self.options.seed, len(self.source))[shard * self.per_shard:(shard + 1) * self.per_shard]

    def size(self, shard):
        """How many images a shard is made of."""
        return min(self.per_shard, len(self.source) - shard * self.per_shard)

    def path(self, stage, shard):
        return os.path.join(folder_of(self.out, self.options.image, stage),
                            shard_name(name_of(self.out), shard, self.num_shards))

    def stamp(self, shard):
        return os.path.join(self.out, WORK, f'shard-{shard:05d}.json')


def prepare(source, out, options, *, workers, say=print, title='preparing'):
    """Prepares a data set, or goes on where that was interrupted.

    Args:
      source: see `sources.open_source`.
      out: its folder; made if missing.
      options: Options.
      workers: how many processes; 0 does the work in this one.
      say: takes lines for people.
      title: of the progress bar; None for none.

    Returns:
      The content of prepared.json.

    Raises:
      UserError: there is something else at `out`, too many images cannot be used, the source changed meanwhile, or
        there is no room.
    """
    size = options.image.shape[0] * options.image.shape[1] * options.image.shape[2]
    per_shard = int(np.clip(_SHARD_BYTES // size, *_SHARD_IMAGES))
    job = _Job(source, options, os.path.abspath(out), per_shard, -(-len(source) // per_shard),
               is_one_hot(source.labels))
    for stage in range(options.image.num_stages):
        job.format_of(stage)             # refuses impossible encodings
    fingerprints = source.fingerprints()
    plan = _plan(job, fingerprints)
    done = _begin(job, plan)
    if done is not None:
        say(f'{out}: already prepared, {done["count"]} images')
        return done
    try:
        _make_shards(job, workers, say, title)
        _check_unchanged(source, fingerprints, out)
        return _finish(job, plan, say)
    except OSError as error:
        raise UserError(f'{error.filename or out}: cannot be written ({error.strerror or error}); make room or choose '
                        'another --out, and start the same command again') from error


@functools.lru_cache(maxsize=1)
def _order(seed, count):
    return np.random.Generator(np.random.PCG64(seed)).permutation(count)


def is_one_hot(labels):
    """Whether labels [N, K] each name one class."""
    return bool(labels.shape[1]) and bool(np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(axis=1) == 1))


def _plan(job, fingerprints):
    """What must be the same for a preparation to be gone on with."""
    plan = {'version': 1, 'name': name_of(job.out), 'source': {'kind': job.source.kind, 'path': str(job.source.path)}, 'images': len(job.source),
            'label_dim': job.source.labels.shape[1], 'per_shard': job.per_shard,
            'source_hash': _hash(sorted(fingerprints.items())),
            'labels_hash': _hash([hashlib.blake2b(np.ascontiguousarray(job.source.labels)).hexdigest()]),
            'options': {name: value for name, value in to_dict(job.options).items() if name != 'max_skipped'}}
    return json.loads(json.dumps(plan))


def _hash(value):
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=16).hexdigest()


def _begin(job, plan):
    """Makes the folders; returns the content of prepared.json if the very same set is there already."""
    marker, plan_path = os.path.join(job.out, MARKER), os.path.join(job.out, WORK, 'plan.json')
    if os.path.exists(marker):
        done = read_info(job.out)
        _refuse_other_plan(done['plan'], plan, job.out, 'holds a data set that was prepared')
        PreparedImages(job.out)              # says what is missing
        return done
    if os.path.exists(plan_path):
        try:
            with open(plan_path) as file:
                theirs = json.load(file)
        except (OSError, ValueError) as error:
            raise UserError(f'{plan_path}: cannot be read ({error}); remove {job.out} and start again') from error
        _refuse_other_plan(theirs, plan, job.out, 'holds a preparation that was begun')
    elif os.path.isdir(job.out) and set(os.listdir(job.out)) - {'lock', WORK}:
        raise UserError(f'--out={job.out}: this folder holds something else; choose a new one')
    else:
        os.makedirs(os.path.join(job.out, WORK), exist_ok=True)
        _write_json(plan_path, plan)
    for stage in range(job.options.image.num_stages):
        os.makedirs(folder_of(job.out, job.options.image, stage), exist_ok=True)
    for parent, _, names in os.walk(job.out):
        for name in names:
            if '.part-' in name:         # of a process that was killed
                os.unlink(os.path.join(parent, name))
    return None


def _refuse_other_plan(theirs, ours, out, what):
    def flat(plan, prefix=''):
        fields = {}
        for key, value in plan.items():
            fields |= flat(value, f'{prefix}{key}.') if isinstance(value, dict) else {prefix + key: value}
        return fields
    theirs, ours = flat(theirs), flat(ours)
    lines = [f'{key}: {theirs.get(key)!r} there, {ours[key]!r} now' for key in ours if theirs.get(key) != ours[key]]
    if lines:
        raise UserError(f'--out={out}: this folder {what} from something else ({"; ".join(lines)}); choose another '
                        '--out, or remove the folder')


def _is_made(job, shard):
    """Whether a shard has its stamp, and the files that the stamp is about."""
    try:
        with open(job.stamp(shard)) as file:
            sizes = [size for size, _ in json.load(file)['files']]
        return sizes == [os.path.getsize(job.path(stage, shard)) for stage in range(job.options.image.num_stages)]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _make_shards(job, workers, say, title):
    missing = [shard for shard in range(job.num_shards) if not _is_made(job, shard)]
    if len(missing) < job.num_shards:
        say(f'{job.num_shards - len(missing)} of {job.num_shards} shards are there already')
    with progress_bar(len(job.source), title) as bar:
        bar.update(sum(job.size(shard) for shard in set(range(job.num_shards)) - set(missing)))
        if not workers:
            for shard in missing:
                _make_shard(job, shard, bar.update)
            return
        context = multiprocessing.get_context('spawn')
        pool = concurrent.futures.ProcessPoolExecutor(min(workers, len(missing) or 1), context, _begin_worker,
                                                      (os.getpid(), job))
        try:
            futures = {pool.submit(_make_shard_in_worker, shard): shard for shard in missing}
            for future in concurrent.futures.as_completed(futures):
                future.result()
                bar.update(job.size(futures[future]))
        except concurrent.futures.process.BrokenProcessPool as error:
            raise UserError('a process that prepares died, perhaps for lack of memory; start the same command again, '
                            'with fewer --workers') from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()


_job = None             # of this worker process


def _begin_worker(parent, job):
    global _job
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)         # the parent ends its workers

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)                                      # nobody waits for this any more
    threading.Thread(target=watch, daemon=True).start()


def _make_shard_in_worker(shard):
    _make_shard(_job, shard, lambda: None)


def _make_shard(job, shard, advance):
    """Writes a shard at all stages, and its stamp."""
    paths = [job.path(stage, shard) for stage in range(job.options.image.num_stages)]
    parts = [f'{path}.part-{os.getpid()}' for path in paths]
    try:
        members, skipped, content = _write_records(job, shard, parts, advance)
    except RuntimeError as error:           # what the writers make of a full disk
        raise OSError(f'{paths[-1]}: {" ".join(str(error).split())[:200]}') from error
    for part, path in zip(parts, paths):
        _check_readable(part, len(members))
        with open(part, 'rb') as file:
            os.fsync(file.fileno())         # before the stamp is
        os.replace(part, path)
    _write_json(job.stamp(shard), {'members': members, 'skipped': skipped, 'content': content,
                                   'files': [[os.path.getsize(path), _hash_of_file(path)] for path in paths]})


def _write_records(job, shard, paths, advance):
    """Writes the records of a shard to a file a stage.

    Returns:
      (indices that were written, [name, reason] of those that were not, hash of what was).
    """
    from array_record.python.array_record_module import ArrayRecordWriter
    image, options = job.options.image, job.options
    formats = [job.format_of(stage) for stage in range(image.num_stages)]
    members, skipped, content = [], [], hashlib.blake2b(digest_size=16)
    with contextlib.ExitStack() as stack:
        writers = [ArrayRecordWriter(path, _WRITER_OPTIONS) for path in paths]
        for writer in writers:
            stack.callback(writer.close)
        for index in map(int, job.members(shard)):
            advance()
            try:
                with failing_as_unusable():
                    pixels = fitted(job.source.picture(index), image.shape, fit=options.fit,
                                    resize_filter=options.resize_filter)
            except Unusable as error:
                skipped.append([job.source.name(index), str(error)])
                continue
            label, levels = job.source.labels[index], pyramid(pixels, image, options.level_filter)
            content.update(np.ascontiguousarray(levels[0]))
            content.update(np.ascontiguousarray(label))
            for writer, form, level in zip(writers, formats, reversed(levels)):
                writer.write(form.serialize(level, label))
            members.append(index)
    return members, skipped, content.hexdigest()


def _check_readable(path, count):
    """Raises an OSError for a file that lost its end: the writer reports no full disk at its close."""
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


def _check_unchanged(source, before, out):
    after = source.fingerprints()
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        raise UserError(f'{changed[0]}: changed while it was read, with {len(changed) - 1} others; remove {out} and '
                        'start again once the source stands still')


def _finish(job, plan, say):
    """Writes what makes the set whole, the marker last."""
    stamps = []
    for shard in range(job.num_shards):
        with open(job.stamp(shard)) as file:
            stamps.append(json.load(file))
    skipped = [entry for stamp in stamps for entry in stamp['skipped']]
    members = [index for stamp in stamps for index in stamp['members']]
    if len(skipped) > job.options.max_skipped * len(job.source) or not members:
        examples = '; '.join(f'{name} ({reason})' for name, reason in skipped[:3])
        raise UserError(f'{job.source.path}: {len(skipped)} of {len(job.source)} images cannot be used, such as '
                        f'{examples}; mend or remove them and the folder {job.out}, or allow more with --max_skipped')
    labels = job.source.labels[members]
    with open(os.path.join(job.out, LABELS + '.part-0'), 'wb') as file:
        np.save(file, labels)
    os.replace(os.path.join(job.out, LABELS + '.part-0'), os.path.join(job.out, LABELS))
    image = job.options.image
    for stage in range(image.num_stages):
        _write_tfds_files(job, stage, stamps)
    done = {
        'format': 'stylegan_jax prepared data', 'version': 1, 'name': name_of(job.out), 'count': len(members),
        'image': to_dict(image) | {'label_dim': labels.shape[1]}, 'label_names': job.source.label_names,
        'one_hot': job.one_hot, 'source': plan['source'],
        'content_hash': _hash([stamp['content'] for stamp in stamps]), 'fit': job.options.fit,
        'resize_filter': job.options.resize_filter, 'level_filter': job.options.level_filter,
        'encoding': job.options.encoding, 'mirror_safe': job.options.mirror_safe, 'seed': job.options.seed,
        'skipped': skipped[:1000], 'num_skipped': len(skipped),
        'shards': [{'count': len(stamp['members']), 'files': stamp['files']} for stamp in stamps], 'plan': plan}
    _write_json(os.path.join(job.out, MARKER), done)
    shutil.rmtree(os.path.join(job.out, WORK))
    say(f'{job.out}: {len(members)} images' + (f', {len(skipped)} skipped' if skipped else ''))
    return done


def _write_tfds_files(job, stage, stamps):
    folder = folder_of(job.out, job.options.image, stage)
    job.format_of(stage).features.save_config(folder)
    _write_json(os.path.join(folder, 'dataset_info.json'), {
        'name': name_of(job.out), 'version': VERSION, 'configName': os.path.basename(os.path.dirname(folder)),
        'fileFormat': 'array_record', 'description': f'{job.source.kind} {job.source.path}, prepared by stylegan_jax',
        'splits': [{'name': 'train', 'shardLengths': [str(len(stamp['members'])) for stamp in stamps],
                    'numBytes': str(sum(stamp['files'][stage][0] for stamp in stamps)),
                    'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'}]})


def _write_json(path, value):
    part = f'{path}.part-{os.getpid()}'
    with open(part, 'w') as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
