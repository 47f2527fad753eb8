"""Analyse the space of latents w, and edit images by moving through it.

    python -m stylegan_jax.latents --network=runs/quickstart --what=attributes --out=directions.npz
    python -m stylegan_jax.latents --network=runs/quickstart --apply --directions=directions.npz \\
        --direction=dark_hair --strengths=-3,0,3 --seeds=0-5 --outdir=out
    python -m stylegan_jax.latents --network=runs/quickstart --apply --directions=directions.npz \\
        --direction=smiling --latents=projected/latents.npz --strengths=-2,-1,0,1,2 --outdir=out

--what says what is computed: statistics (mean and spread of W), principal (the directions in which W spreads most: pc0,
pc1, ...) or attributes (a direction for each attribute that classifiers find in some samples and not in others; moving
by a positive strength adds the attribute). --apply moves latents along such directions. It writes DIRECTION.png, with a
row for each latent and a column for each strength, and DIRECTION.npz, the moved latents. A strength is in standard
deviations of W along the direction. Moving coarse layers (--layers=0-3) changes shapes, moving fine ones colours.
"""

import os

import numpy as np
import tqdm
from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.cli.network_flags import LABELS, NetworkFlags
from stylegan_jax.cli.parsing import LARGEST_SEED, parse_layers, parse_seeds, parse_strengths
from stylegan_jax.errors import UserError, unwritable
from stylegan_jax.runtime import compile_cache
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.latents import latents as seeded_latents

flags.declare_key_flag('compilation_cache')
FLAGS = flags.FlagValues()
_NETWORK = NetworkFlags(FLAGS, ('network', 'which', *LABELS, 'lod', 'psi'))
_WHAT = flags.DEFINE_enum(
    'what',
    'attributes',
    ['statistics', 'principal', 'attributes'],
    'What is computed. statistics: the mean and spread of W. principal: the directions in which W spreads most. '
    'attributes: a direction for each attribute that classifiers know.',
    flag_values=FLAGS,
)
_OUT = flags.DEFINE_string('out', None, 'File (.npz) for the statistics or the directions.', flag_values=FLAGS)
_SAMPLES = flags.DEFINE_integer(
    'samples',
    10_000,
    'Number of random samples of W; attributes need an image of each.',
    lower_bound=2,
    flag_values=FLAGS,
)
_COUNT = flags.DEFINE_integer(
    'count',
    None,
    'With --what=principal: number of directions to keep, the widest first; the default is 20, or all if W has fewer.',
    lower_bound=1,
    flag_values=FLAGS,
)
_CLASSIFIERS = flags.DEFINE_list(
    'classifiers',
    ['toy_faces'],
    'With --what=attributes: classifiers with commas between them, each toy_faces (comes with the package), a file of '
    'train_classifier, or an official pickle.',
    flag_values=FLAGS,
)
_WITHOUT = flags.DEFINE_list(
    'without',
    [],
    'With --apply: names of other directions, with commas between them, whose attributes are to stay as they are; all '
    'means all others.',
    flag_values=FLAGS,
)
_SEED = flags.DEFINE_integer(
    'seed', 0, 'Seed of the random samples.', lower_bound=0, upper_bound=LARGEST_SEED, flag_values=FLAGS
)
_NOISE = flags.DEFINE_enum(
    'noise',
    'const',
    ['const', 'none'],
    'Noise inputs of the images that classifiers see, and of the images of --seeds: the stored ones, or none.',
    flag_values=FLAGS,
)
_APPLY = flags.DEFINE_bool('apply', False, 'Move latents along directions, and show the images.', flag_values=FLAGS)
_DIRECTIONS = flags.DEFINE_string(
    'directions',
    None,
    'With --apply: file of directions, which --what=principal or --what=attributes wrote.',
    flag_values=FLAGS,
)
_DIRECTION = flags.DEFINE_list(
    'direction',
    None,
    'With --apply: names of directions with commas between them, such as glasses or pc0; each gets a figure.',
    flag_values=FLAGS,
)
_STRENGTHS = flags.DEFINE_list(
    'strengths',
    ['-3', '-1.5', '0', '1.5', '3'],
    'With --apply: how far latents move, in standard deviations.',
    flag_values=FLAGS,
)
_LAYERS = flags.DEFINE_string(
    'layers', None, 'With --apply: which layers move, such as 0-3 or 4,5,6; the default is all.', flag_values=FLAGS
)
_SEEDS = flags.DEFINE_string(
    'seeds', '0-5', 'With --apply: seeds of the latents, the same as those of generate.', flag_values=FLAGS
)
_LATENTS = flags.DEFINE_string(
    'latents',
    None,
    'With --apply: file of latents, written by project or by --apply, which are moved in place of --seeds.',
    flag_values=FLAGS,
)
_OUTDIR = flags.DEFINE_string(
    'outdir', None, 'With --apply: folder for the figures; it is made if missing.', flag_values=FLAGS
)
_MOST_PRINCIPAL = 20
_SMALLEST_CELL = 96  # pixels; smaller images are shown with larger pixels


def main(argv: list[str]) -> None:
    """Computes statistics or directions of W, or with --apply moves latents along directions."""
    del argv
    compile_cache.use_cache(compile_cache.CACHE.value)
    _NETWORK.check()
    for flag in (_DIRECTIONS, _DIRECTION, _OUTDIR) if _APPLY.value else (_OUT,):
        if not flag.value:
            raise UserError(f'--{flag.name} is missing; see --help')
    try:
        _apply() if _APPLY.value else _analyse()
    except OSError as error:
        flag = _OUTDIR if _APPLY.value else _OUT
        raise unwritable(flag.name, flag.value, error, 'choose another place') from None


def _analyse():
    """Computes what --what names, prints a summary and writes --out."""
    from stylegan_jax.editing import directions as editing
    from stylegan_jax.editing import latent_file

    generator, lod = _NETWORK.load()
    labels = _NETWORK.labels(generator)
    about = {
        'network': _NETWORK['network'],
        'which': _NETWORK['which'],
        'samples': _SAMPLES.value,
        'seed': _SEED.value,
        'noise': _NOISE.value,
        'class': _NETWORK['class'],
    }
    directory = os.path.dirname(_OUT.value)
    os.makedirs(directory or '.', exist_ok=True)
    if _NETWORK['label'] is not None:
        about['label'] = _NETWORK['label']
    if _WHAT.value == 'attributes':
        directions = _attributes(generator, labels, lod)
        moments = directions.moments
        about |= {'classifiers': _CLASSIFIERS.value}
    else:
        moments = editing.statistics(generator, _SAMPLES.value, seed=_SEED.value, label=labels)
    if _WHAT.value == 'principal':
        directions = editing.principal_directions(moments, _COUNT.value or min(_MOST_PRINCIPAL, generator.w_dim))
    spread = np.sqrt(np.maximum(np.linalg.eigvalsh(moments.covariance())[::-1], 0))
    print(
        f'{moments.count} samples of W ({len(moments.mean)} dimensions): mean of length '
        f'{np.linalg.norm(moments.mean):.3f}, standard deviation {spread[0]:.3f} along the widest direction and '
        f'{spread[-1]:.2g} along the narrowest; {_needed_for(spread, 0.9)} directions have 90% of the variance'
    )
    if _WHAT.value == 'statistics':
        latent_file.save_statistics(_OUT.value, moments, about=about)
    else:
        latent_file.save_directions(_OUT.value, directions, about=about)
        print(f'{len(directions.names)} directions: {", ".join(directions.names)}')
    if line := _NETWORK.about_labels(labels):
        print(line)
    print(f'{_WHAT.value} in {_OUT.value}')


def _needed_for(spread, share):
    """Returns how many of the directions, the widest first, have a share of the variance together."""
    variances = spread**2
    return int(np.searchsorted(np.cumsum(variances), share * variances.sum())) + 1


def _attributes(generator, labels, lod):
    """Returns the Directions of attributes, which classifiers look for in the images of samples."""
    from stylegan_jax.editing import directions as editing
    from stylegan_jax.feature_networks.classifier import Classifier

    classifiers = [Classifier.load(name) for name in _CLASSIFIERS.value]
    names = [name for each in classifiers for name in each.label_names]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise UserError(
            f'several tell of {", ".join(doubled)}',
            field='classifiers',
            value=','.join(_CLASSIFIERS.value),
            remedy='give one of them',
        )
    ws, logits = [], []
    for w, images in _sampled(generator, labels, lod):
        logits.append(np.concatenate([_logits(each, images) for each in classifiers], axis=1))
        ws.append(w)
    w, logits = np.concatenate(ws), np.concatenate(logits)
    directions = editing.attribute_directions(w, logits, names, seed=_SEED.value)
    for name, of_one in zip(names, logits.T):
        missing = '' if name in directions.names else '; no plane separates them, so there is no such direction'
        print(f'{name}: {np.mean(of_one >= 0):.1%} of the samples have it{missing}')
    return directions


def _sampled(generator, labels, lod):
    """Yields (w, uint8 images) of the samples, batch after batch, without truncation."""
    from stylegan_jax.editing import directions as editing
    from stylegan_jax.sampling.sampler import Sampler

    # A network without w is refused before anything is compiled.
    generator.map(np.zeros((1, generator.z_dim)), labels([0]))
    sampler = Sampler(generator, lod=lod, psi=1, noise=_NOISE.value, count=_SAMPLES.value)
    done = 0
    with tqdm.tqdm(total=_SAMPLES.value, unit='img', disable=None, delay=2) as bar:
        for z, w in editing.mapped_samples(generator, _SAMPLES.value, seed=_SEED.value, label=labels):
            pieces = [slice(start, start + sampler.batch) for start in range(0, len(z), sampler.batch)]
            label = labels(np.arange(done, done + len(z)))
            done += len(z)
            images = sampler.stream((z[piece], label[piece]) for piece in pieces)
            for piece, made in zip(pieces, images):
                yield w[piece], made
                bar.update(len(made))


def _logits(classifier, images):
    """Returns logits [N, K] of images [N, H, W, C]."""
    # The minibatch standard deviation needs full groups, so the last image is repeated up to a multiple of their size.
    group = classifier.config.network.mbstd_group_size or 1
    padded = images[np.minimum(np.arange(-(-len(images) // group) * group), len(images) - 1)]
    return np.asarray(classifier.logits(padded))[: len(images)]


def _apply():
    """Moves latents along each direction, and writes figures and files of the moved latents."""
    from stylegan_jax.editing import directions as editing
    from stylegan_jax.editing import latent_file

    strengths = parse_strengths(_STRENGTHS.value)
    generator, lod = _NETWORK.load()
    directions = latent_file.load_directions(_DIRECTIONS.value)
    if directions.normals.shape[1] != generator.w_dim:
        raise UserError(
            f'directions of {directions.normals.shape[1]} dimensions, and {_NETWORK["network"]} has {generator.w_dim}',
            field='directions',
            value=_DIRECTIONS.value,
            remedy='give those of this network',
        )
    layers = range(generator.num_ws) if _LAYERS.value is None else parse_layers(_LAYERS.value, generator.num_ws)
    subjects = _subjects(generator, _NETWORK.labels(generator), lod)
    others = directions.names if _WITHOUT.value == ['all'] else _WITHOUT.value
    steps = {name: directions.step(name, others) for name in _DIRECTION.value}
    os.makedirs(_OUTDIR.value, exist_ok=True)
    for name, step in steps.items():
        moved = [editing.move(subjects.ws, step, strength, layers) for strength in strengths]
        _save_figure(os.path.join(_OUTDIR.value, f'{name}.png'), generator, subjects, moved)
        # Noise inputs of one image each are repeated for its strengths; those that all images share stay one.
        repeated = (
            subjects.noise
            if isinstance(subjects.noise, str)
            else [x if len(x) == 1 else np.repeat(x, len(strengths), axis=0) for x in subjects.noise]
        )
        names = tuple(f'{each}, {name} {strength:+g}' for each in subjects.names for strength in strengths)
        ws = np.stack(moved, axis=1).reshape(-1, *moved[0].shape[1:])
        latent_file.Latents(ws, names, repeated, subjects.lod).save(os.path.join(_OUTDIR.value, f'{name}.npz'))
    print(
        f'{", ".join(_DIRECTION.value)} in {_OUTDIR.value}: rows are {", ".join(subjects.names)}; columns are '
        f'{", ".join(f"{strength:+g}" for strength in strengths)} standard deviations'
    )


def _subjects(generator, labels, lod):
    """Returns the Latents that are moved: those of a file, or those of --seeds."""
    from stylegan_jax.editing import latent_file

    if _LATENTS.value is None:
        seeds = parse_seeds(_SEEDS.value)
        w = generator.map(seeded_latents(seeds, generator.z_dim), labels(seeds))
        ws = np.asarray(generator.truncate(w, _NETWORK['psi'], center=labels.centers(seeds)))
        return latent_file.Latents(ws, tuple(map(labels.caption, seeds)), _NOISE.value, lod)
    found = latent_file.Latents.load(_LATENTS.value)
    if found.ws.shape[1:] != (generator.num_ws, generator.w_dim):
        raise UserError(
            f'ws have shape {found.ws.shape}, and {_NETWORK["network"]} takes '
            f'[N, {generator.num_ws}, {generator.w_dim}]',
            field='latents',
            value=_LATENTS.value,
            remedy='give latents of this network',
        )
    return found


def _save_figure(path, generator, subjects, moved):
    """Draws a row for each subject and a column for each of `moved`, a list of ws [N, L, W]."""
    rows = [
        grid.to_uint8(
            np.concatenate(
                [
                    np.asarray(generator.synthesize(ws[row : row + 1], noise=subjects.noise_of(row), lod=subjects.lod))
                    for ws in moved
                ]
            )
        )
        for row in range(len(subjects.ws))
    ]
    picture = grid.image_grid(np.concatenate(rows), len(moved))
    grid.save_png(path, grid.enlarge(picture, max(1, _SMALLEST_CELL // rows[0].shape[1])))


if __name__ == '__main__':
    command.run(main, FLAGS)
