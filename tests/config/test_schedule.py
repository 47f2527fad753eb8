"""The schedule: published tables, growth, optimiser resets, and the table of a run."""

import dataclasses
import itertools
import pickle

import pytest

from stylegan_jax.config import (
    Config,
    DiscriminatorConfig,
    ImageConfig,
    LogConfig,
    ScheduleConfig,
    TrainConfig,
    schedule,
)
from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.errors import UserError

RESOLUTIONS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
# What a step shows at each of RESOLUTIONS, written out from the official settings.
PUBLISHED_BATCH = {
    1: (128, 128, 128, 64, 32, 16, 8, 4, 4),
    2: (256, 256, 128, 64, 32, 16, 8, 8, 8),
    4: (512, 256, 128, 64, 32, 16, 16, 16, 16),
    8: (512, 256, 128, 64, 32, 32, 32, 32, 32),
}
PUBLISHED_LR = (0.001, 0.001, 0.001, 0.001, 0.001, 0.0015, 0.002, 0.003, 0.003)
PUBLISHED_TICK_KIMG = (160, 140, 120, 100, 80, 60, 40, 30, 20)
FFHQ = Config()


def small_config(*, image=ImageConfig(resolution=32), replicas=1, discriminator=DiscriminatorConfig(), **changes):
    values = {'total_kimg': 10.0, 'initial_resolution': 8, 'stage_kimg': 1.0, 'fade_kimg': 1.0, 'batch': 8} | changes
    train = TrainConfig(total_kimg=values.pop('total_kimg'))
    return schedule.resolve(
        Config(
            image=image, replicas=replicas, discriminator=discriminator, schedule=ScheduleConfig(**values), train=train
        )
    )


def nimg_at(index):
    """An image count in the steady part of RESOLUTIONS[index], for growth from 4x4."""
    return 1_200_000 * index + 300_000


@pytest.mark.parametrize('replicas', PUBLISHED_BATCH)
def test_published_setting_at_every_resolution(replicas):
    config = dataclasses.replace(FFHQ, replicas=replicas, schedule=ScheduleConfig(initial_resolution=4))
    config = schedule.resolve(config)
    for index, resolution in enumerate(RESOLUTIONS):
        now = schedule.setting_at(config, nimg_at(index))
        assert config.image.stage_resolution(now.stage) == resolution
        assert now == schedule.Setting(
            lod=8.0 - index,
            stage=index,
            alpha=1.0,
            batch=PUBLISHED_BATCH[replicas][index],
            lr=PUBLISHED_LR[index],
            tick_kimg=PUBLISHED_TICK_KIMG[index],
        )


@pytest.mark.parametrize(
    'kimg, resolution, alpha',
    [
        (0, 8, 1.0),
        (599, 8, 1.0),
        (600, 8, 1.0),
        (600.001, 16, 1e-3 / 600),
        (900, 16, 0.5),
        (1199, 16, 599 / 600),
        (1200, 16, 1.0),
        (1800, 16, 1.0),
        (2100, 32, 0.5),
        (2400, 32, 1.0),
        (8100, 1024, 0.5),
        (8399.999, 1024, 1 - 1e-3 / 600),
        (8400, 1024, 1.0),
        (25000, 1024, 1.0),
        (1e6, 1024, 1.0),
    ],
)
def test_growth_of_ffhq(kimg, resolution, alpha):
    config = schedule.resolve(FFHQ)
    now = schedule.setting_at(config, round(kimg * 1000))
    assert config.image.stage_resolution(now.stage) == resolution
    assert now.alpha == pytest.approx(alpha, abs=1e-9)
    # The setting is that of the resolution that fades in, from the first image of the fade.
    index = RESOLUTIONS.index(resolution)
    assert now.batch == PUBLISHED_BATCH[8][index]
    assert now.lr == PUBLISHED_LR[index]


def test_lod_falls_by_one_a_phase_and_never_rises():
    lods = [schedule.lod_at(FFHQ, nimg) for nimg in range(0, 9_000_000, 7919)]
    assert lods[0] == 7.0 and lods[-1] == 0.0
    assert all(0 <= before - after < 0.014 for before, after in itertools.pairwise(lods))
    assert [schedule.lod_at(FFHQ, 1_200_000 * phase) for phase in range(9)] == [7, 6, 5, 4, 3, 2, 1, 0, 0]


@pytest.mark.parametrize('initial', [32, 64, 1024])
def test_initial_resolution_at_or_above_full_size_starts_grown(initial):
    config = small_config(initial_resolution=initial)
    assert schedule.lod_at(config, 0) == 0
    assert [span.kind for span in schedule.stage_table(config)] == ['steady']


def test_fade_of_no_length_jumps():
    config = small_config(fade_kimg=0.0)
    assert [schedule.lod_at(config, nimg) for nimg in (0, 999, 1000, 1999, 2000)] == [2, 2, 1, 1, 0]


def test_stage_of_no_length_only_fades():
    config = small_config(stage_kimg=0.0)
    assert [schedule.lod_at(config, nimg) for nimg in (0, 250, 1000, 1500, 2000)] == [2, 1.75, 1, 0.5, 0]


def test_phase_edges_are_exact_for_fractional_kimg():
    """In floating point, 0.9 / (0.1 + 0.2) has a floor of 2."""
    config = small_config(stage_kimg=0.1, fade_kimg=0.2)
    assert schedule.lod_at(config, 300) == 1
    assert schedule.lod_at(config, 600) == 0
    assert schedule.lod_at(config, 400) == 1 and schedule.lod_at(config, 401) == pytest.approx(1 - 1 / 200)


@pytest.mark.parametrize('lod, stage, alpha', [(0, 3, 1.0), (0.25, 3, 0.75), (1, 2, 1.0), (2.9, 1, 0.1), (3, 0, 1.0)])
def test_stage_and_alpha(lod, stage, alpha):
    assert stage_and_alpha(ImageConfig(resolution=32), lod) == (stage, pytest.approx(alpha))


@pytest.mark.parametrize('lod', [-0.01, 3.01, float('nan'), float('inf')])
def test_stage_and_alpha_outside_the_pyramid(lod):
    with pytest.raises(UserError, match=r'lod=.* 0 \(32 pixels\) to 3 \(4 pixels\)'):
        stage_and_alpha(ImageConfig(resolution=32), lod)


@pytest.mark.parametrize(
    'before, after, expected',
    [(7.0, 7.0, False), (6.9, 6.1, False), (7.0, 6.99, True), (6.01, 6.0, True), (6.5, 5.5, True), (7.0, 6.0, True)],
)
def test_needs_optimizer_reset(before, after, expected):
    assert schedule.needs_optimizer_reset(before, after) is expected


def test_ffhq_resets_where_fades_begin_and_end():
    """Twice for each of the seven fades from 8x8 to 1024x1024."""
    spans = schedule.stage_table(schedule.resolve(FFHQ))
    lods = [schedule.lod_at(FFHQ, round(span.from_kimg * 1000)) for span in spans]
    assert sum(schedule.needs_optimizer_reset(*pair) for pair in itertools.pairwise(lods)) == 14


def test_resolving_twice_changes_nothing():
    config = schedule.resolve(FFHQ)
    assert None not in dataclasses.asdict(config.schedule).values()
    assert schedule.resolve(config) == config


def test_own_batch_and_rate_hold_at_every_resolution():
    config = schedule.resolve(Config(schedule=ScheduleConfig(batch=16, lr=0.002)))
    settings = [schedule.setting_at(config, 1_200_000 * phase) for phase in range(8)]
    assert {now.batch for now in settings} == {16} and {now.lr for now in settings} == {0.002}


def test_own_tables_replace_the_published_exceptions():
    config = schedule.resolve(Config(schedule=ScheduleConfig(batch_by_resolution={8: 64}, lr_by_resolution={16: 0.5})))
    assert schedule.setting_at(config, 0).batch == 64 and schedule.setting_at(config, 0).lr == 0.001
    assert schedule.setting_at(config, 1_200_000).batch == 32 and schedule.setting_at(config, 1_200_000).lr == 0.5


@pytest.mark.parametrize(
    'fields, base_shape, stage, expected',
    [
        ({'lr': 0.002}, (4, 4), 2, 'schedule.lr=0.002'),
        ({'lr_by_resolution': {32: 0.003}}, (4, 4), 2, 'schedule.lr=0.001'),
        ({'lr_by_resolution': {16: 0.5, 32: 0.003}}, (4, 4), 2, 'schedule.lr_by_resolution=16:0.5,32:0.003 at 16'),
        (
            {'lr_by_resolution': {16: 0.5}, 'initial_resolution': 7},
            (5, 7),
            1,
            'schedule.lr_by_resolution=16:0.5 at 16',
        ),  # sides of 14
    ],
)
def test_the_setting_that_a_rate_comes_from(fields, base_shape, stage, expected):
    image = ImageConfig(resolution=4 * base_shape[1], base_shape=base_shape)
    config = schedule.resolve(Config(image=image, schedule=ScheduleConfig(**fields)))
    assert schedule.lr_remedy(config, stage) == expected


def test_replicas_without_published_batch():
    with pytest.raises(UserError, match='replicas=3.*schedule.batch'):
        schedule.resolve(Config(replicas=3))
    assert schedule.resolve(Config(replicas=3, schedule=ScheduleConfig(batch=12))).schedule.batch == 12


def test_batch_that_replicas_do_not_divide():
    values = ScheduleConfig(batch=32, batch_by_resolution={64: 36})
    with pytest.raises(UserError, match=r'stage 4 \(64x64\): schedule.batch=36 .* replicas=8; give 32 or 64'):
        schedule.resolve(Config(schedule=values))


@pytest.mark.parametrize(
    'batch, group, ok', [(8, 4, True), (3, 4, True), (6, 4, False), (6, 3, True), (6, 0, True), (7, 1, True)]
)
def test_batch_must_fill_groups_of_the_minibatch_standard_deviation(batch, group, ok):
    config = Config(
        replicas=2,
        image=ImageConfig(resolution=8),
        schedule=ScheduleConfig(batch=2 * batch),
        discriminator=DiscriminatorConfig(mbstd_group_size=group),
    )
    if ok:
        schedule.resolve(config)
    else:
        with pytest.raises(UserError, match=r'stage 1 \(8x8\): schedule.batch=12 .*mbstd_group_size=4; give 8 or 16'):
            schedule.resolve(config)


@pytest.mark.parametrize(
    'batch, replicas, expected', [(16, 3, '12 or 24'), (1, 3, '3'), (36, 8, '32 or 64'), (15, 3, '12 or 24')]
)
def test_batches_that_are_proposed_are_accepted(batch, replicas, expected):
    def config(batch):
        return Config(replicas=replicas, image=ImageConfig(resolution=8), schedule=ScheduleConfig(batch=batch))

    with pytest.raises(UserError, match=rf'; give {expected}$'):
        schedule.resolve(config(batch))
    for proposed in expected.split(' or '):
        assert schedule.resolve(config(int(proposed))).schedule.batch == int(proposed)


def test_stages_before_the_first_need_no_valid_batch():
    schedule.resolve(Config(schedule=ScheduleConfig(batch=32, batch_by_resolution={4: 31}, initial_resolution=8)))


def test_table_for_a_resolution_that_no_stage_has():
    with pytest.raises(UserError, match='lr_by_resolution.*no stage has 265 pixels'):
        schedule.resolve(Config(schedule=ScheduleConfig(lr_by_resolution={265: 0.002})))


def test_tables_of_images_that_are_not_square():
    """The longer side is what tables know: 384x512 trains as 512."""
    image = ImageConfig(resolution=512, base_shape=(3, 4))
    config = schedule.resolve(dataclasses.replace(FFHQ, image=image))
    spans = schedule.stage_table(config)
    assert spans[0].resolution == (6, 8) and spans[0].batch == 256
    assert spans[-1].resolution == (384, 512) and spans[-1].batch == 32 and spans[-1].lr == 0.003
    assert schedule.lod_at(config, 0) == 6


def test_tables_of_sides_that_are_no_power_of_two():
    """A side of 224 takes the published values of 256, and a table may name 224 itself."""
    image = ImageConfig(resolution=224, base_shape=(5, 7))
    start = ScheduleConfig(initial_resolution=7)
    config = schedule.resolve(Config(image=image, replicas=1, schedule=start))
    first, last = schedule.setting_at(config, 0), schedule.setting_at(config, 10_000_000)
    assert (first.batch, last.batch) == (128, 8)
    assert (first.lr, last.lr) == (0.001, 0.002)
    assert (first.tick_kimg, last.tick_kimg) == (140, 40)
    own = dataclasses.replace(config, schedule=dataclasses.replace(start, batch_by_resolution={224: 12, 256: 16}))
    assert schedule.setting_at(schedule.resolve(own), 10_000_000).batch == 12


def test_tick_of_ones_own():
    config = dataclasses.replace(small_config(), log=LogConfig(tick_kimg=5.0, tick_kimg_by_resolution={16: 2.0}))
    assert [schedule.setting_at(config, nimg).tick_kimg for nimg in (0, 1500, 3500, 9000)] == [5.0, 2.0, 5.0, 5.0]


def simulated_spans(config):
    """The official loop, group by group: evaluate, train the group with lod held, evaluate again."""
    spans, cur_nimg = [], 0
    while cur_nimg < config.train.total_kimg * 1000:
        now = schedule.setting_at(config, cur_nimg)
        key = (config.image.stage_shape(now.stage), 'fade' if now.lod % 1 else 'steady', now.batch, now.lr)
        if not spans or spans[-1][0] != key:
            spans.append([key, cur_nimg, cur_nimg, 0])
        for _ in range(config.schedule.steps_per_evaluation):
            cur_nimg += now.batch
            spans[-1][3] += 1
        spans[-1][2] = cur_nimg
    return [schedule.Span(start / 1000, end / 1000, *key, steps) for key, start, end, steps in spans]


@pytest.mark.parametrize(
    'config',
    [
        small_config(),
        small_config(steps_per_evaluation=1),
        small_config(steps_per_evaluation=7, batch=12),
        small_config(total_kimg=1.7),
        small_config(total_kimg=0.0),
        small_config(total_kimg=0.0005),
        small_config(stage_kimg=0.0),
        small_config(fade_kimg=0.0),
        small_config(stage_kimg=0.1, fade_kimg=0.2),
        small_config(stage_kimg=0.01, fade_kimg=0.01, batch=32),  # a group passes over whole spans
        small_config(batch=16, batch_by_resolution={8: 64, 16: 32}),
        small_config(image=ImageConfig(resolution=48, base_shape=(3, 2)), initial_resolution=3, stage_kimg=0.7),
        small_config(initial_resolution=1024),
    ],
    ids=range(13),
)
def test_stage_table_is_the_official_loop(config):
    assert schedule.stage_table(config) == simulated_spans(config)


@pytest.mark.parametrize('replicas', [1, 8])
def test_stage_table_of_ffhq_is_the_official_loop(replicas):
    config = schedule.resolve(dataclasses.replace(FFHQ, replicas=replicas))
    # The last fade ends at 8,400 kimg; the rest of the run is one span more of the same.
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, total_kimg=8500.0))
    assert schedule.stage_table(config) == simulated_spans(config)


def test_stage_table_of_ffhq():
    spans = schedule.stage_table(schedule.resolve(FFHQ))
    assert [span.resolution[0] for span in spans] == [8, *sum(([size] * 2 for size in RESOLUTIONS[2:]), [])]
    assert [span.kind for span in spans] == ['steady'] + ['fade', 'steady'] * 7
    # Groups are 1024 images at 8x8: 586 of them pass 600 kimg.
    assert spans[0] == schedule.Span(0.0, 600.064, (8, 8), 'steady', 256, 0.001, 586 * 4)
    assert all(span.from_kimg == before.to_kimg for before, span in itertools.pairwise(spans))
    assert 25000 <= spans[-1].to_kimg < 25000 + 4 * 32 / 1000


@pytest.mark.parametrize('nimg', [0, 600_064, 1_000_064])
def test_stage_table_of_what_is_left(nimg):
    whole, left = (schedule.stage_table(schedule.resolve(FFHQ), start) for start in (0, nimg))
    assert left[0].from_kimg == nimg / 1000
    number = len(left) - 1
    assert left[1:] == whole[-number:]
    assert left[0].steps == round((left[0].to_kimg - left[0].from_kimg) * 1000 / left[0].batch)


@pytest.mark.parametrize(
    'total_kimg, line',
    [
        (0.0, 'the run ends at 8x8, after 0 kimg; 32x32 is complete after 4 kimg'),
        (1.0, 'the run ends at 8x8, after 1 kimg; 32x32 is complete after 4 kimg'),
        (1.5, 'the run ends in the fade to 16x16, after 1.5 kimg; 32x32 is complete after 4 kimg'),
        (3.999, 'the run ends in the fade to 32x32, after 3.999 kimg; 32x32 is complete after 4 kimg'),
        (4.0, None),
    ],
)
def test_a_run_that_ends_before_its_full_size(total_kimg, line):
    assert schedule.shortfall(small_config(total_kimg=total_kimg)) == line


def test_a_run_without_growth_is_at_its_full_size_from_the_start():
    assert schedule.shortfall(small_config(total_kimg=0.0, initial_resolution=32)) is None


def test_is_finished():
    config = small_config(total_kimg=1.5)
    assert not schedule.is_finished(config, 1499)
    assert schedule.is_finished(config, 1500)


# The iterations of a run.

ANY_BATCH = DiscriminatorConfig(mbstd_group_size=1)


def walked(config, nimg, group_nimg):
    """What the host loop does, one iteration after another."""
    setting, steps = schedule.setting_at(config, group_nimg), config.schedule.steps_per_evaluation
    while True:
        if not group_nimg < nimg < group_nimg + setting.batch * steps:
            if schedule.is_finished(config, nimg):
                return
            setting, group_nimg = schedule.setting_at(config, nimg), nimg
        yield nimg, setting, group_nimg
        nimg += setting.batch


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'initial_resolution': 32, 'total_kimg': 0.5},
        {'batch': 7, 'steps_per_evaluation': 3},
        {'fade_kimg': 0.0},
        {'stage_kimg': 0.0},
        {'stage_kimg': 0.1, 'fade_kimg': 0.2, 'batch': 50, 'steps_per_evaluation': 5},
        {'batch_by_resolution': {8: 12, 16: 5, 32: 3}, 'total_kimg': 4.321},
        {'total_kimg': 0.001},
        {'total_kimg': 0.0},
    ],
)
def test_iterations_are_those_of_the_loop(changes):
    """From the beginning, and from any point in a group, a fade, or beyond the end."""
    config = small_config(discriminator=ANY_BATCH, **changes)
    whole = list(walked(config, 0, 0))
    for first in sorted({0, 1, 2, 3, *range(0, len(whole), 61), *range(max(0, len(whole) - 5), len(whole))}):
        if first >= len(whole):
            continue
        nimg, _, group_nimg = whole[first]
        iterations = schedule.Iterations(config, nimg, group_nimg)
        expected = [(position, setting) for position, setting, _ in whole[first:]]
        assert len(iterations) == len(expected) and iterations[-1] == expected[-1]
        assert list(iterations) == expected
        assert iterations.batches == {setting.batch for _, setting in expected}


@pytest.mark.parametrize('nimg, group_nimg', [(8, 8), (10, 0), (15, 0), (100, 0), (13, 3), (2000, 1990), (9999, 9999)])
def test_iterations_from_where_another_config_stopped(nimg, group_nimg):
    """Its groups were longer or shorter, or its batches others: then a new group begins (`run.resume`)."""
    config = small_config(batch=5, steps_per_evaluation=3, discriminator=ANY_BATCH)
    expected = [(position, setting) for position, setting, _ in walked(config, nimg, group_nimg)]
    assert list(schedule.Iterations(config, nimg, group_nimg)) == expected


def test_iterations_after_the_end():
    config = small_config(total_kimg=0.016)
    assert list(schedule.Iterations(config, 32, 0)) == []
    assert [position for position, _ in schedule.Iterations(config, 24, 0)] == [24]  # the group was begun
    with pytest.raises(IndexError):
        schedule.Iterations(config, 24, 0)[1]


def test_iterations_of_the_published_run():
    """Half a million of them are a few numbers to another process."""
    config = schedule.resolve(FFHQ)
    iterations = pickle.loads(pickle.dumps(schedule.Iterations(config, 0, 0)))
    assert len(iterations) == sum(span.steps for span in schedule.stage_table(config))
    assert len(pickle.dumps(iterations)) < 20_000
    assert iterations[0] == (0, schedule.setting_at(config, 0))
    position, setting = iterations[-1]
    assert position + setting.batch >= 25_000_000 and setting.lod == 0
