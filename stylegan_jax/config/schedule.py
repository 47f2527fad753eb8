"""Images shown -> stage, alpha, batch and learning rate: progressive growing as arithmetic. No JAX, no state.

Everything here is a function of the config and of the number of images shown (`cur_nimg`), so that a run that was
interrupted finds the same schedule again. The steps in `training` apply it.

Level of detail (lod) counts stages down from full size: 0 is full size, and the fraction is the weight of the lower
resolution in a fade (Progressive GAN, Section 2).
"""

import bisect
import collections.abc
import dataclasses
import itertools
import math
import types

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.config.run import Config
from stylegan_jax.errors import UserError

# The official settings by number of GPUs: (images per step, exceptions by resolution).
PUBLISHED_BATCHES = types.MappingProxyType(
    {
        1: (4, {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4}),
        2: (8, {4: 256, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8}),
        4: (16, {4: 512, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16}),
        8: (32, {4: 512, 8: 256, 16: 128, 32: 64, 64: 32}),
    }
)
PUBLISHED_LR = 0.001
PUBLISHED_LR_BY_RESOLUTION = types.MappingProxyType({128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003})


@dataclasses.dataclass(frozen=True)
class Setting:
    """The settings of training at one moment."""

    lod: float  # 0 = full size
    stage: int  # index of the active resolution; static in the compiled steps
    alpha: float  # weight of that stage's own block; traced
    batch: int  # images per step, over all replicas
    lr: float  # of both networks
    tick_kimg: float  # distance between two log lines [thousands of images]


@dataclasses.dataclass(frozen=True)
class Span:
    """A part of training at one resolution: the fade to it, or the steady part after."""

    from_kimg: float
    to_kimg: float  # at an evaluation of the schedule, so that it can be after the nominal end
    resolution: tuple[int, int]  # (H, W) of the active stage
    kind: str  # 'fade' or 'steady'
    batch: int
    lr: float
    steps: int  # pairs of D and G steps


def lod_at(config: Config, cur_nimg: int) -> float:
    """Returns the level of detail after `cur_nimg` images.

    Training starts at `schedule.initial_resolution` and passes through phases: `stage_kimg` at one resolution, then
    `fade_kimg` in which the next one is faded in; it stays at full size once that is reached. Phases are counted in
    whole images, so that their edges are exact.

    Args:
      config: a Config, resolved or not.
      cur_nimg: real images shown so far.

    Returns:
      lod, float in [0, num_stages - 1].
    """
    schedule = config.schedule
    stage_nimg = round(schedule.stage_kimg * 1000)
    phase_nimg = round((schedule.stage_kimg + schedule.fade_kimg) * 1000)
    phase, nimg_in_phase = divmod(cur_nimg, phase_nimg)
    lod = config.image.num_stages - 1 - _first_stage(config) - phase
    faded_nimg = max(nimg_in_phase - stage_nimg, 0)
    if faded_nimg:
        lod -= faded_nimg / (phase_nimg - stage_nimg)
    return max(float(lod), 0.0)


def setting_at(config: Config, cur_nimg: int) -> Setting:
    """Returns the Setting after `cur_nimg` images: how far the fade-in is (lod, then stage and alpha), batch and rate.

    Args:
      config: a Config that went through `resolve`.
      cur_nimg: real images shown so far.
    """
    lod = lod_at(config, cur_nimg)
    stage, alpha = stage_and_alpha(config.image, lod)
    return Setting(
        lod=lod,
        stage=stage,
        alpha=alpha,
        batch=_batch_of(config, stage),
        lr=_lr_of(config, stage),
        tick_kimg=_look_up(config.log.tick_kimg_by_resolution, config.image, stage, config.log.tick_kimg),
    )


def lr_remedy(config: Config, stage: int) -> str:
    """Returns the setting that the learning rate of a stage comes from, with its value as a command line takes it.

    Args:
      config: a Config that went through `resolve`.
      stage: index of the resolution.
    """
    key = _key_of(config.schedule.lr_by_resolution, config.image, stage)
    if key is None:
        return f'schedule.lr={config.schedule.lr:g}'
    # The whole table, because what is given there replaces all of it.
    table = ','.join(f'{side}:{lr:g}' for side, lr in config.schedule.lr_by_resolution.items())
    return f'schedule.lr_by_resolution={table} at {key}'


def is_finished(config: Config, cur_nimg: int) -> bool:
    """Returns whether training ends at this evaluation of the schedule."""
    return cur_nimg >= config.train.total_kimg * 1000


def needs_optimizer_reset(previous_lod: float, lod: float) -> bool:
    """Returns whether a fade began or ended between two evaluations: there the official loop resets Adam's moments."""
    return math.floor(previous_lod) != math.floor(lod) or math.ceil(previous_lod) != math.ceil(lod)


def resolve(config: Config) -> Config:
    """Fills in the published batch sizes and learning rates, and checks that every stage can be trained.

    The published exceptions by resolution belong to the published value alone: `schedule.batch=16` is 16 at every
    resolution unless `schedule.batch_by_resolution` is set as well. The same holds for `schedule.lr`.

    Args:
      config: a Config; resolving a resolved one changes nothing.

    Returns:
      The Config with no None in `schedule`.

    Raises:
      UserError: no published batch for this number of replicas, a table for a resolution that no stage has,
        or a batch that the replicas, or the groups of the minibatch standard deviation, do not divide.
    """
    schedule = config.schedule
    if schedule.batch is None and config.replicas not in PUBLISHED_BATCHES:
        raise UserError(
            f'replicas={config.replicas}: batch sizes are published for 1, 2, 4 and 8 replicas only; '
            f'choose one of these or set schedule.batch'
        )
    batch, batches = (schedule.batch, {}) if schedule.batch is not None else PUBLISHED_BATCHES[config.replicas]
    lr, rates = (schedule.lr, {}) if schedule.lr is not None else (PUBLISHED_LR, PUBLISHED_LR_BY_RESOLUTION)
    if schedule.batch_by_resolution is not None:
        batches = schedule.batch_by_resolution
    if schedule.lr_by_resolution is not None:
        rates = schedule.lr_by_resolution
    config = dataclasses.replace(
        config,
        schedule=dataclasses.replace(
            schedule, batch=batch, batch_by_resolution=dict(batches), lr=lr, lr_by_resolution=dict(rates)
        ),
    )
    for name in ('batch_by_resolution', 'lr_by_resolution'):
        _check_table_keys(f'schedule.{name}', getattr(config.schedule, name), config.image)
    for stage in range(_first_stage(config), config.image.num_stages):
        _check_batch(config, stage)
    return config


def stage_table(config: Config, nimg: int = 0) -> list[Span]:
    """Returns the course of a run, span by span.

    The schedule is evaluated only every `steps_per_evaluation` pairs of steps, and lod is constant in between. Spans
    and the run itself can therefore end up to one such group late.

    Args:
      config: a Config that went through `resolve`.
      nimg: images shown so far; only what is left of the course is returned.

    Returns:
      A list of Span, in order; the first starts at `nimg`, and each starts where the one before it ends.
    """
    spans = ((max(start, nimg), end, now) for start, end, now in _spans_from(config, 0) if end > nimg)
    return [
        Span(
            from_kimg=start / 1000,
            to_kimg=end / 1000,
            resolution=config.image.stage_shape(now.stage),
            kind='steady' if now.alpha == 1 else 'fade',
            batch=now.batch,
            lr=now.lr,
            steps=math.ceil((end - start) / now.batch),
        )
        for start, end, now in spans
    ]


def shortfall(config: Config) -> str | None:
    """Returns a line about a run that ends before its full size is there, or in the fade to it; else None.

    Args:
      config: a Config that went through `resolve`.
    """
    image, total_kimg, last = config.image, config.train.total_kimg, config.image.num_stages - 1
    complete = (last - _first_stage(config)) * round((config.schedule.stage_kimg + config.schedule.fade_kimg) * 1000)
    if total_kimg * 1000 >= complete:
        return None
    stage, alpha = stage_and_alpha(image, lod_at(config, math.ceil(total_kimg * 1000)))
    here, there = ('x'.join(map(str, image.stage_shape(each))) for each in (stage, last))
    where = f'at {here}' if alpha == 1 else f'in the fade to {here}'
    return f'the run ends {where}, after {total_kimg:g} kimg; {there} is complete after {complete / 1000:g} kimg'


class Iterations(collections.abc.Sequence):
    """All iterations of a run from some point on, in order: (images shown before it, Setting) of each.

    Only the few stretches of equal batch sizes are stored, and settings are computed on access. The object is therefore
    small, and quickly sent to another process.
    """

    def __init__(self, config: Config, cur_nimg: int, group_nimg: int):
        """Finds the stretches.

        Args:
          config: a Config that went through `resolve`.
          cur_nimg: real images shown so far.
          group_nimg: images that had been shown when the schedule was last evaluated. The group of steps that began
            there is completed first, also beyond the end of the run; its batches so far had this config's size.
        """
        self._config = config
        self._firsts = []  # number of the first iteration of each stretch
        # (images shown before its first iteration, and before that one's group, or None if they are the same; batch)
        self._stretches = []
        self._length = 0
        rest, batch = self._rest_of_group(cur_nimg, group_nimg)
        self._append(cur_nimg, group_nimg, batch, rest)
        for start, end, now in _spans_from(config, cur_nimg + rest * batch):
            self._append(start, None, now.batch, (end - start) // now.batch)

    @property
    def batches(self) -> set[int]:
        """The batch sizes that occur."""
        return {batch for _, _, batch in self._stretches}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[int, Setting]:
        if not -self._length <= index < self._length:
            raise IndexError(index)
        index %= self._length
        number = bisect.bisect_right(self._firsts, index) - 1
        first, (start, group_nimg, batch) = self._firsts[number], self._stretches[number]
        steps = index - first
        if group_nimg is None:
            group_nimg = start + steps // self._config.schedule.steps_per_evaluation * self._group(batch)
        return start + steps * batch, setting_at(self._config, group_nimg)

    def _group(self, batch):
        return self._config.schedule.steps_per_evaluation * batch

    def _rest_of_group(self, cur_nimg, group_nimg):
        """Returns the number of iterations that complete the group that was begun, and their batch size."""
        batch = setting_at(self._config, group_nimg).batch
        end = group_nimg + self._group(batch)
        return (end - cur_nimg) // batch if group_nimg < cur_nimg < end else 0, batch

    def _append(self, start, group_nimg, batch, steps):
        if steps:
            self._firsts.append(self._length)
            self._stretches.append((start, group_nimg, batch))
            self._length += steps


def _spans_from(config, cur_nimg):
    """Yields (images shown at its beginning, at its end, a Setting of it) of each span from a point on.

    A span ends where an evaluation of the schedule finds another stage, or finds that a fade began or ended.
    """
    total_nimg = math.ceil(config.train.total_kimg * 1000)
    while cur_nimg < total_nimg:
        now = setting_at(config, cur_nimg)
        group_nimg = config.schedule.steps_per_evaluation * now.batch
        end = min(_nominal_span_end(config, cur_nimg), total_nimg)
        next_nimg = cur_nimg + math.ceil((end - cur_nimg) / group_nimg) * group_nimg
        yield cur_nimg, next_nimg, now
        cur_nimg = next_nimg


def _first_stage(config):
    """Returns the first stage of training; an initial resolution above the full one means the full one."""
    image = config.image
    sizes = [image.stage_resolution(stage) for stage in range(image.num_stages)]
    start = config.schedule.initial_resolution
    return sizes.index(start) if start in sizes else image.num_stages - 1


def _nominal_span_end(config, cur_nimg):
    """Returns the first image count at which an evaluation would find another span than at `cur_nimg`."""
    if lod_at(config, cur_nimg) == 0:
        return math.inf
    stage_nimg = round(config.schedule.stage_kimg * 1000)
    phase_nimg = round((config.schedule.stage_kimg + config.schedule.fade_kimg) * 1000)
    phase, nimg_in_phase = divmod(cur_nimg, phase_nimg)
    is_steady = nimg_in_phase <= stage_nimg
    # At its first image count the new stage of a fade has the weight 0, so that count belongs to the steady span.
    return phase * phase_nimg + (min(stage_nimg + 1, phase_nimg) if is_steady else phase_nimg)


def _power_of_two_above(side):
    """The smallest power of two that is not below `side`."""
    return 1 << (side - 1).bit_length()


def _key_of(table, image, stage):
    """Returns the key of a stage's entry in a table by resolution; None if there is no entry.

    Published tables have powers of two only; another side (base shape (5, 7): 7, 14, 28, ...) takes the entry of the
    next power of two, unless the table has it.
    """
    side = image.stage_resolution(stage)
    return next((key for key in (side, _power_of_two_above(side)) if key in table), None)


def _look_up(table, image, stage, default):
    """Returns the entry of a table by resolution for a stage."""
    return table.get(_key_of(table, image, stage), default)


def _batch_of(config, stage):
    return _look_up(config.schedule.batch_by_resolution, config.image, stage, config.schedule.batch)


def _lr_of(config, stage):
    return _look_up(config.schedule.lr_by_resolution, config.image, stage, config.schedule.lr)


def _check_table_keys(field, table, image):
    """Raises a UserError for a key that no stage looks up, because it would be ignored silently."""
    sizes = [image.stage_resolution(stage) for stage in range(image.num_stages)]
    for key in table:
        # Powers of two of any size pass, so that one table serves runs of several resolutions.
        if key not in sizes and key != _power_of_two_above(key):
            raise UserError(
                f'{field}={table!r}: no stage has {key} pixels; the stages are ' + ', '.join(map(str, sizes))
            )


def _check_batch(config, stage):
    """Raises a UserError where replicas or minibatch-standard-deviation groups do not divide a stage's batch."""
    batch, replicas = _batch_of(config, stage), config.replicas
    height, width = config.image.stage_shape(stage)
    where = f'stage {stage} ({height}x{width}): schedule.batch={batch}'
    if batch % replicas:
        raise UserError(f'{where} cannot be split over replicas={replicas}; {_batches_near(config, batch)}')
    group = config.discriminator.mbstd_group_size
    if not _fits_groups(batch // replicas, group):
        raise UserError(
            f'{where} over replicas={replicas} leaves {batch // replicas} images a replica, which is no '
            f'multiple of discriminator.mbstd_group_size={group}; {_batches_near(config, batch)}'
        )


def _fits_groups(images, group):
    """Whether the images of a replica fill groups; fewer than a group are one, and groups of 0 or 1 are none."""
    return group < 2 or images <= group or images % group == 0


def _batches_near(config, batch):
    """Says which batches nearest to one can be split."""
    each, group = batch / config.replicas, config.discriminator.mbstd_group_size
    below = next((n for n in range(math.floor(each), 0, -1) if _fits_groups(n, group)), None)
    above = next(n for n in itertools.count(math.ceil(each)) if _fits_groups(n, group))
    return 'give ' + ' or '.join(str(n * config.replicas) for n in (below, above) if n)
