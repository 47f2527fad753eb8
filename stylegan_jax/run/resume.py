"""Where a run begins: afresh, or at the newest checkpoint of its folder.

`resume` decides it. The parts of a run that are taken up again, and where that happens:

    checkpoint       the constructor of `run.folder.RunFolder` has `Checkpoints` restore it, in process 0 alone
    state            `resume` chooses it, `send_to_all` sends it to the other processes, `run.loop` puts it on devices
    schedule, data   `config.schedule.Iterations` starts at the state's cur_nimg and group_nimg, which `resume` moves
                     where the schedule is another; the place in the data and all randomness follow from cur_nimg
    tick             `run.ticks.Ticks` starts with the checkpoint's `progress`
    log and scalars  `run.log.RunLog` drops the entries of work that was lost
    metrics          `run.metrics.RunMetrics.drop_beyond` drops those that were measured on such work
"""

import collections.abc
import typing

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.config import Config, serialization
from stylegan_jax.config.schedule import is_finished, lod_at, setting_at
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.run.folder import RunFolder
from stylegan_jax.run.images import describe_images
from stylegan_jax.run.refusals import without_effect
from stylegan_jax.runtime import cluster
from stylegan_jax.storage.transfer import transferred
from stylegan_jax.training import TrainState, adam_init, create_state, with_options
from stylegan_jax.training.freezing import frozen_blocks

_NO_PROGRESS = {'tick': 0, 'tick_nimg': 0, 'seconds': 0.0}


class Start(typing.NamedTuple):
    """Where a run begins.

    Attributes:
      state: a TrainState; None once it is on the devices.
      nimg: images shown.
      progress: the numbers that ticks go on from, as `Ticks.progress` made them.
      goes_on: whether there was a checkpoint.
      was_given_up: whether the run was given up in this very state, because gradients were not finite.
      events: (kind, text) of what the log has to say about it.
      lines: about networks that the run starts from.
      changes: lines about settings and data that are others than those of a run that has reached its end; the log has
        them if it is measured with them.
    """

    state: TrainState | None
    nimg: int = 0
    progress: dict = _NO_PROGRESS
    goes_on: bool = False
    was_given_up: bool = False
    events: collections.abc.Sequence[tuple[str, str]] = ()
    lines: collections.abc.Sequence[str] = ()
    changes: collections.abc.Sequence[str] = ()


def resume(config: Config, folder: RunFolder | None, dataset: Dataset) -> Start:
    """Decides where a run begins.

    Args:
      config: a resolved Config.
      folder: the run's folder; None in processes that do not have it.
      dataset: the images of the run, as they are now.

    Raises:
      UserError: `config.init_from` cannot be used.
    """
    lod = lod_at(config, 0)

    # Not process 0: the state is replaced by the one that process 0 sends, so only its shapes matter.
    if folder is None:
        return Start(create_state(config, lod=lod))

    # A fresh start, with new networks or with those of another run.
    saved = folder.take_saved()
    if saved is None:
        return _fresh_start(config, folder, dataset, lod)

    # The newest checkpoints were damaged: they were set aside, and their iterations are repeated, with the same result.
    events = [('damaged', line) for line in saved.damaged]

    # The config or the data changed: the run goes on with the new ones. (Another architecture, seed or init_from was
    # refused when the checkpoint was read.) A run that has reached its end trains with neither.
    changes, is_over = list(_changes(saved, config, dataset)), is_finished(config, saved.nimg)
    if not is_over:
        events += [('changed', line) for line in changes]
        events.append(('resume', f'going on at {saved.nimg / 1000:g} kimg in {folder.path}'))
        changes = []

    # A broken run: it goes on as well, since its learning rate may be lower now. If that does not help, the loop does
    # not save its state once more: every start would push a good checkpoint out.
    skipped = max(int(saved.state.g_skipped), int(saved.state.d_skipped))
    was_given_up = skipped >= config.train.most_skipped

    state = with_options(config, saved.state)

    # The schedule changed in the middle of a group of iterations: its rest would have batches that do not fill it, or a
    # level of detail that the state does not have. So a new group begins here.
    group_nimg = int(state.group_nimg)
    before, now = setting_at(saved.config, group_nimg), setting_at(config, group_nimg)
    if (before.lod, before.batch) != (now.lod, now.batch):
        state = state.replace(group_nimg=jnp.array(state.cur_nimg, copy=True))  # see `create_state`

    # Adam's moments of blocks that were frozen are 0, and with the common number of steps they would not pass for those
    # of a beginning: the first updates would be ten times too large. So all of D's begin again, as at a new stage.
    before, now = frozen_blocks(saved.config), frozen_blocks(config)
    if before != now and not is_over:
        words = {'that are trained from here on': before - now, 'that stay from here on': now - before}
        lines = [f'{text}: {" and ".join(sorted(names))}' for text, names in words.items() if names]
        events.append(('freeze_d', f'blocks of the discriminator {"; ".join(lines)}; its optimizer begins again'))
        state = state.replace(d_optimizer=adam_init(state.d_params, config.train.beta1))
    return Start(state, saved.nimg, saved.progress, True, was_given_up, events, changes=changes)


def _fresh_start(config, folder, dataset, lod):
    images = describe_images(config, dataset.labels, dataset.label_names)
    events = [('start', f'training {config.name} in {folder.path}: {images}')]
    events += [('freeze_d', line) for line in without_effect(config)]
    if not config.init_from:
        return Start(create_state(config, lod=lod), events=events)
    generator, discriminator, ema, lines = transferred(config.init_from, config)
    if frozen := sorted(frozen_blocks(config)):
        events.append(('freeze_d', f'blocks of the discriminator that stay: {" and ".join(frozen)}'))
    state = create_state(config, generator=generator, discriminator=discriminator, ema=ema, lod=lod)
    return Start(state, events=events, lines=lines)


def send_to_all(state: TrainState) -> TrainState:
    """Returns process 0's state, in all processes, as numpy arrays and a key."""
    plain = state.replace(key=jax.random.key_data(state.key))
    host = cluster.from_primary(jax.tree.map(np.array, plain))
    return host.replace(key=jax.random.wrap_key_data(jnp.asarray(host.key)))


def _changes(saved, config, dataset):
    """Yields lines about differences between now and when the checkpoint was saved."""
    for field, before, now in serialization.differences(saved.config, config):
        yield f'{field}: {before!r} until now, {now!r} from here on'
    # Checkpoints of older versions do not know their data.
    images = saved.progress.get('images', len(dataset))
    if images != len(dataset):
        yield f'the data set: {images} images until now, {len(dataset)} from here on, in another order'
    elif saved.progress.get('data', dataset.signature) != dataset.signature:
        yield f'the data set: {images} other images, or in another order, until now'
