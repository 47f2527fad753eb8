"""Whether a run may go on from a checkpoint: its architecture, its seed and the networks that it began with stay."""

import os

from stylegan_jax.config import Config, serialization
from stylegan_jax.errors import UserError
from stylegan_jax.storage.stored_networks import is_shipped

# Fields of the networks' configs that may change in a run. `image` is compared once, as the run's own.
_NOT_ARCHITECTURE = ('truncation_psi', 'truncation_cutoff')


def refuse_other_run(theirs: Config, ours: Config, where: str) -> None:
    """Raises an error that shows both sides of every difference that a run cannot go on with.

    Args:
      theirs: the Config of the checkpoint.
      ours: the Config that the run is to go on with.
      where: path of the checkpoint, for the error.

    Raises:
      UserError: the architecture, the seed or `init_from` is another.
    """

    def decides(field):
        part, _, name = field.partition('.')
        return (
            (part in ('image', 'generator', 'discriminator') and name not in _NOT_ARCHITECTURE)
            # float64 changes the type of the weights; the other precisions only that of activations.
            or (field == 'precision' and 'float64' in (theirs.precision, ours.precision))
            # With beta1 = 0 the optimiser keeps no first moments, so its state has another structure.
            or (field == 'train.beta1' and 0 in (theirs.train.beta1, ours.train.beta1))
        )

    lines = [
        f'{field}: {before!r} in the checkpoint, {now!r} now'
        for field, before, now in serialization.differences(theirs, ours)
        if decides(field)
    ]
    if lines:
        remedy = 'choose another workdir, or the settings that it was made with'
        # What the images have decides over `image.label_dim=0` where labels are looked for.
        if ours.image.label_dim and not theirs.image.label_dim and ours.data.find_labels:
            remedy += ' (data.find_labels=False for no labels)'
        if theirs.image.label_dim and not ours.image.label_dim and ours.data.find_labels:
            lines.append(f'no labels were found beside the images (data.path={ours.data.path})')
            remedy = 'bring them back, such as their dataset.json, or choose another workdir'
        raise UserError(
            f'{where} belongs to another architecture: ' + '; '.join(lines),
            remedy=remedy,
        )
    if theirs.seed != ours.seed:
        raise UserError(
            f'{where} belongs to a run with another seed, {theirs.seed}',
            field='seed',
            value=ours.seed,
            remedy='choose another workdir, or give that one',
        )
    # It is not read again. But it decides what `train.freeze_d` means, and a run that names another file would seem to
    # have begun with that one's networks.
    if not _are_the_same(theirs.init_from, ours.init_from):
        raise UserError(
            f'{where} says init_from={theirs.init_from!r}',
            field='init_from',
            value=repr(ours.init_from),
            remedy='choose another workdir, or ' + ('give that one' if theirs.init_from else 'leave it out'),
        )


def _are_the_same(*paths):
    """Says whether two values of `init_from` mean the same: none, a name of the package's own networks, or a path."""
    if not all(paths) or any(map(is_shipped, paths)):
        return paths[0] == paths[1]
    return os.path.abspath(paths[0]) == os.path.abspath(paths[1])
