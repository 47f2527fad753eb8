"""Turning a source into a prepared data set: pixels at every stage as ArrayRecord shards that tfds reads.

    OUT/8x8/1.0.0/NAME-train.array_record-00000-of-00004 ...      a tfds configuration for each stage
    OUT/labels.npy                                                the labels of the records, in their order
    OUT/prepared.json                                             a description of the set; written last

The images are shuffled once and cut into shards, which `shards` makes; this module plans them before and describes them
after. All of it depends on the source and the options alone, so that a preparation that was interrupted ends with the
same bytes.
"""

import hashlib
import json
import os
import shutil
import typing
from collections.abc import Callable

import numpy as np

from stylegan_jax.config.serialization import to_dict
from stylegan_jax.data import too_small, values
from stylegan_jax.data.labels import is_one_hot
from stylegan_jax.data.prepared import LABELS, MARKER, VERSION, WORK, PreparedImages, folder_of, name_of, read_info
from stylegan_jax.data.preparing.outlook import check_room, look_ahead
from stylegan_jax.data.preparing.shards import PART, Job, Options, make_shards, missing_shards, write_json, writing
from stylegan_jax.data.records import ENCODINGS
from stylegan_jax.data.sources.base import PictureSource, changed_files, share_that_allows
from stylegan_jax.errors import UserError, unwritable

_SHARD_BYTES = 256 << 20  # of full-size pixels in a shard ...
_SHARD_IMAGES = (64, 4096)  # ... but no fewer and no more images than these
_LATER = ('fourth_channel', 'value_range')


def prepare(
    source: PictureSource,
    out: str,
    options: Options,
    *,
    workers: int,
    say: Callable[[str], object] = print,
    title: str | None = 'preparing',
) -> dict[str, typing.Any]:
    """Prepares a data set, or goes on where that was interrupted.

    Args:
      source: where the pictures are.
      out: the folder of the set; made if missing.
      options: all that the set depends on beside its source.
      workers: how many processes; 0 does the work in this one.
      say: takes lines for people.
      title: of the progress bar; None for none.

    Returns:
      The content of prepared.json.

    Raises:
      UserError: there is something else at `out`, too many images cannot be used, the source changed meanwhile, or
        there is no room.
    """
    per_shard = shard_images(options)
    job = Job(source, options, os.path.abspath(out), per_shard, -(-len(source) // per_shard), is_one_hot(source.labels))
    for stage in range(options.image.num_stages):
        job.format_of(stage)  # refuses impossible encodings
    fingerprints = source.fingerprints()
    plan = _plan(job, fingerprints)
    done = _begin(job, plan)
    if done is not None:
        say(f'{out}: already prepared, {done["count"]} images')
        return done
    missing = missing_shards(job)
    begun = len(missing) < job.num_shards
    ahead = look_ahead(source, options, per_shard, [options.encoding] if begun else ENCODINGS)
    for line in [] if begun else ahead.lines(options):
        say(line)
    if options.encoding in ahead.sizes:
        check_room(job, len(missing) / job.num_shards, ahead.sizes[options.encoding])
    try:
        make_shards(job, workers, say, title)
        _check_unchanged(source, fingerprints, out)
        return _finish(job, plan, say)
    except OSError as error:
        remedy = 'make room or choose another out, and start the same command again'
        raise unwritable(None, error.filename or out, error, remedy) from error


def shard_images(options: Options) -> int:
    """Returns how many images a shard is made of."""
    return int(np.clip(_SHARD_BYTES // np.prod(options.image.shape), *_SHARD_IMAGES))


def _plan(job, fingerprints):
    """Returns all that must be the same for an interrupted preparation to go on."""
    plan = {
        'version': 1,
        'name': name_of(job.out),
        'source': {'kind': job.source.kind, 'path': job.source.path},
        'images': len(job.source),
        'label_dim': job.source.labels.shape[1],
        'per_shard': job.per_shard,
        'source_hash': _hash(sorted(fingerprints.items())),
        'labels_hash': _hash([hashlib.blake2b(np.ascontiguousarray(job.source.labels)).hexdigest()]),
        'options': _options_of_plan(job.options),
    }
    return json.loads(json.dumps(plan))


def _options_of_plan(options):
    """Returns the options that the bytes depend on; those that came later are left out where they change nothing."""
    return {name: value for name, value in to_dict(options).items() if name not in _LATER and name != 'max_skipped'} | (
        _later_options(options)
    )


def _later_options(options):
    """Returns the options of `_LATER` that make another set than was made before there were any."""
    weighted = options.image.channels == 4 and options.fourth_channel == 'alpha'
    return ({'fourth_channel': 'alpha'} if weighted else {}) | (
        {} if options.value_range is None else {'value_range': list(options.value_range)}
    )


def _hash(value):
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=16).hexdigest()


def check_place(out: str | os.PathLike) -> None:
    """Raises a UserError where a folder holds something other than a data set; writes nothing into it."""
    found = set(os.listdir(out)) if os.path.isdir(out) else set()
    is_ours = MARKER in found or os.path.exists(os.path.join(out, WORK, 'plan.json'))
    if found - {'lock', WORK} and not is_ours:
        raise UserError('this folder holds something else', field='out', value=out, remedy='choose a new one')


def _begin(job, plan):
    """Makes the folders; returns the content of prepared.json if the same set is there already, else None."""
    marker, plan_path = os.path.join(job.out, MARKER), os.path.join(job.out, WORK, 'plan.json')
    if os.path.exists(marker):
        done = read_info(job.out)
        _refuse_other_plan(done['plan'], plan, job.out, 'holds a data set that was prepared')
        PreparedImages(job.out)  # raises an error that names any file that is missing
        return done
    if os.path.exists(plan_path):
        try:
            with open(plan_path) as file:
                theirs = json.load(file)
        except (OSError, ValueError) as error:
            raise UserError(
                f'{plan_path}: cannot be read ({error})', remedy=f'remove {job.out} and start again'
            ) from error
        _refuse_other_plan(theirs, plan, job.out, 'holds a preparation that was begun')
    else:
        check_place(job.out)
        os.makedirs(os.path.join(job.out, WORK), exist_ok=True)
        write_json(plan_path, plan)
    for stage in range(job.options.image.num_stages):
        os.makedirs(folder_of(job.out, job.options.image, stage), exist_ok=True)
    for parent, _, names in os.walk(job.out):
        for name in names:
            if PART in name:  # left by a process that was killed
                os.unlink(os.path.join(parent, name))
    return None


def _refuse_other_plan(theirs, ours, out, content):
    """Raises a UserError that names all differences between the plan of the folder and that of this command."""

    def flat(plan, prefix=''):
        fields = {}
        for key, value in plan.items():
            fields |= flat(value, f'{prefix}{key}.') if isinstance(value, dict) else {prefix + key: value}
        return fields

    theirs, ours = flat(theirs), flat(ours)
    lines = [
        f'{key}: {theirs.get(key)!r} there, {ours.get(key)!r} now'
        for key in theirs | ours
        if theirs.get(key) != ours.get(key)
    ]
    if lines:
        raise UserError(
            f'this folder {content} from something else ({"; ".join(lines)})',
            field='out',
            value=out,
            remedy='choose another one, or remove the folder',
        )


def _check_unchanged(source, before, out):
    changed = changed_files(before, source.fingerprints())
    if changed:
        raise UserError(
            f'{changed[0]}: changed while it was read, with {len(changed) - 1} others',
            remedy=f'remove {out} and start again once the source no longer changes',
        )


def _remedy(job, members):
    """Returns what to do about too many pictures that cannot be used, given the indices of those that can."""
    options = job.options
    rows = sorted(set(range(len(job.source))) - set(members))
    remedy = f'mend or remove them, remove the folder {job.out} and start again'
    if members:  # otherwise none would be left
        share = share_that_allows(len(rows), len(job.source))
        remedy += f', or leave them out: the same command with max_skipped={share:g} goes on from here'
    suggestion = too_small.suggestion(
        too_small.sizes_of(job.source, rows),
        options.image,
        options.fit,
        unusable=len(rows),
        total=len(job.source),
        max_skipped=options.max_skipped,
        setting='resolution={} (and another out)',
    )
    return f'{suggestion}, or {remedy}' if suggestion else remedy


def examples_of(skipped: list[list[str]]) -> str:
    """Names some of the pictures that were left out, with the reasons.

    Args:
      skipped: [name, reason] of each, as in `prepared.json`.
    """
    return 'such as ' + '; '.join(f'{name} ({reason})' for name, reason in skipped[:3])


def _finish(job, plan, say):
    """Writes the files that make the set whole, the marker last; returns the content of prepared.json."""
    stamps = []
    for shard in range(job.num_shards):
        with open(job.stamp(shard)) as file:
            stamps.append(json.load(file))
    skipped = [entry for stamp in stamps for entry in stamp['skipped']]
    members = [index for stamp in stamps for index in stamp['members']]
    if len(skipped) / len(job.source) > job.options.max_skipped or not members:
        raise UserError(
            f'{job.source.path}: {len(skipped)} of {len(job.source)} images cannot be used, {examples_of(skipped)}',
            remedy=_remedy(job, members),
        )
    labels = job.source.labels[members]
    with writing(os.path.join(job.out, LABELS), 'wb') as file:
        np.save(file, labels)
    image = job.options.image
    for stage in range(image.num_stages):
        _write_tfds_files(job, stage, stamps)
    done = {
        'format': 'stylegan_jax prepared data',
        'version': 1,
        'name': name_of(job.out),
        'count': len(members),
        'image': to_dict(image) | {'label_dim': labels.shape[1]},
        'label_names': job.source.label_names,
        **_class_names(job.source),
        'one_hot': job.one_hot,
        'source': plan['source'],
        'content_hash': _hash([stamp['content'] for stamp in stamps]),
        'fit': job.options.fit,
        'resize_filter': job.options.resize_filter,
        'level_filter': job.options.level_filter,
        'encoding': job.options.encoding,
        **_later_options(job.options),
        'mirror_safe': job.options.mirror_safe,
        'seed': job.options.seed,
        'skipped': skipped[:1000],
        'num_skipped': len(skipped),
        'shards': [{'count': len(stamp['members']), 'files': stamp['files']} for stamp in stamps],
        'plan': plan,
    }
    write_json(os.path.join(job.out, MARKER), done)
    shutil.rmtree(os.path.join(job.out, WORK))
    say(f'{job.out}: {len(members)} images' + (f'; {len(skipped)} skipped, {examples_of(skipped)}' if skipped else ''))
    if job.options.value_range is None:
        extrema = [values.Extrema(*entry) for stamp in stamps for entry in stamp.get('extrema', [])]
        for line in filter(None, [values.warning_of(extrema) or values.described(extrema)]):
            say(line)
    return done


def _class_names(source):
    """Returns an entry of prepared.json for names that come from folders alone, of which tfds is not told."""
    names = getattr(source, 'class_names', None)
    return {} if source.label_names or not names else {'class_names': names}


def _write_tfds_files(job, stage, stamps):
    """Writes features.json and dataset_info.json, by which plain tfds reads the records of a stage."""
    folder = folder_of(job.out, job.options.image, stage)
    job.format_of(stage).features.save_config(folder)
    write_json(
        os.path.join(folder, 'dataset_info.json'),
        {
            'name': name_of(job.out),
            'version': VERSION,
            'configName': os.path.basename(os.path.dirname(folder)),
            'fileFormat': 'array_record',
            'description': f'{job.source.kind} {job.source.path}, prepared by stylegan_jax',
            'splits': [
                {
                    'name': 'train',
                    'shardLengths': [str(len(stamp['members'])) for stamp in stamps],
                    'numBytes': str(sum(stamp['files'][stage][0] for stamp in stamps)),
                    'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}',
                }
            ],
        },
    )
