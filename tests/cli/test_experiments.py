"""The shipped experiments: each can be trained, and each differs from the next as the paper's tables say."""

import dataclasses
import importlib

import pytest

from stylegan_jax.cli.experiments import list_experiments, load_experiment
from stylegan_jax.config import schedule
from stylegan_jax.config.serialization import to_dict

NAMES = sorted(
    [
        'ffhq',
        'ffhq512',
        'ffhq256',
        'ffhq256_pl',
        'celebahq',
        'lsun_bedroom',
        'lsun_cat',
        'lsun_car',
        'cifar10',
        'quickstart',
        'custom',
        'small',
    ]
    + [f'table1_{row}' for row in 'abcdef']
    + [f'table2_mix{percent}' for percent in (0, 50, 90, 100)]
    + ['table4_traditional0', 'table4_traditional8']
    + [f'table4_style{layers}' for layers in (0, 1, 2, 8)]
)
# Traditional generators: B of Table 1, but for the depth of the mapping network.
TRADITIONAL = {
    'generator.use_styles': False,
    'generator.use_pixel_norm': True,
    'generator.use_instance_norm': False,
    'generator.truncation_psi': None,
    'generator.const_input': False,
    'generator.use_noise': False,
    'train.style_mixing_prob': 0.0,
}


def flat(values, prefix=''):
    """{dotted name: value} of nested dicts; tables by resolution stay whole."""
    result = {}
    for name, value in values.items():
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            result |= flat(value, f'{prefix}{name}.')
        else:
            result[prefix + name] = value
    return result


def difference(name, base):
    """{field: value in `name`} of the fields in which two experiments differ, but for their names."""
    ours, theirs = (flat(to_dict(load_experiment(each))) for each in (name, base))
    return {
        field: value
        for field, value in ours.items()
        if value != theirs[field] and field != 'name' and '.image.' not in field
    }


def test_these_experiments_are_shipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # ./experiments would be listed too
    assert list(list_experiments()) == NAMES


@pytest.mark.parametrize('name', NAMES)
def test_experiment_is_named_and_described(name):
    config = load_experiment(name)
    assert config.name == name
    docstring = importlib.import_module(f'stylegan_jax.experiments.{name}').__doc__
    assert f'--experiment={name}' in docstring
    assert 'Expected: FID' in docstring or 'Not a row of the paper' in docstring


@pytest.mark.parametrize('replicas', [1, 2, 4, 8])
@pytest.mark.parametrize('name', NAMES)
def test_experiment_resolves(name, replicas):
    config = schedule.resolve(dataclasses.replace(load_experiment(name), replicas=replicas))
    spans = schedule.stage_table(config)
    assert spans[-1].resolution == config.image.shape[:2] and spans[-1].kind == 'steady'
    assert spans[-1].to_kimg >= config.train.total_kimg


def test_ffhq_is_configuration_f():
    config = flat(to_dict(load_experiment('ffhq')))
    expected = {
        'replicas': 8,
        'image.resolution': 1024,
        'image.label_dim': 0,
        'data.mirror': True,
        'data.source': 'images',
        'generator.architecture': 'stylegan',
        'generator.mapping_layers': 8,
        'generator.z_dim': 512,
        'generator.w_dim': 512,
        'generator.use_styles': True,
        'generator.const_input': True,
        'generator.use_noise': True,
        'generator.use_pixel_norm': False,
        'generator.use_instance_norm': True,
        'generator.blur_filter': (1, 2, 1),
        'generator.flip_from': 128,
        'generator.truncation_psi': 0.7,
        'generator.truncation_cutoff': 8,
        'discriminator.architecture': 'stylegan',
        'discriminator.mbstd_group_size': 4,
        'loss.name': 'logistic',
        'loss.r1_gamma': 10.0,
        'train.total_kimg': 25000.0,
        'schedule.initial_resolution': 8,
        'schedule.stage_kimg': 600.0,
        'schedule.fade_kimg': 600.0,
        'schedule.steps_per_evaluation': 4,
        'train.style_mixing_prob': 0.9,
        'train.w_avg_beta': 0.995,
        'train.ema_kimg': 10.0,
        'train.beta1': 0.0,
        'train.beta2': 0.99,
        'train.epsilon': 1e-8,
    }
    assert {field: config[field] for field in expected} == expected


@pytest.mark.parametrize(
    'name, base, expected',
    [
        ('ffhq512', 'ffhq', {'image.resolution': 512}),
        ('ffhq256', 'ffhq', {'image.resolution': 256}),
        ('ffhq256_pl', 'ffhq256', {'loss.path_length': 2.0}),
        ('lsun_bedroom', 'ffhq', {'image.resolution': 256, 'data.mirror': False}),
        ('lsun_cat', 'ffhq', {'image.resolution': 256, 'data.mirror': False}),
        ('lsun_car', 'ffhq', {'image.resolution': 512, 'data.mirror': False}),
        (
            'celebahq',
            'ffhq',
            {'loss.name': 'wgan_gp', 'schedule.lr_by_resolution': {128: 0.0015, 256: 0.002, 512: 0.002, 1024: 0.002}},
        ),
    ],
)
def test_datasets(name, base, expected):
    assert difference(name, base) == expected


def test_celebahq_rates_are_those_of_ffhq_capped():
    ours, theirs = (schedule.resolve(load_experiment(name)) for name in ('celebahq', 'ffhq'))
    for nimg in range(0, 10_000_000, 1_200_000):
        assert schedule.setting_at(ours, nimg).lr == min(schedule.setting_at(theirs, nimg).lr, 0.002)


@pytest.mark.parametrize(
    'name, base, expected',
    [
        ('table1_f', 'ffhq', {}),
        ('table1_e', 'table1_f', {'train.style_mixing_prob': 0.0}),
        ('table1_d', 'table1_e', {'generator.use_noise': False}),
        ('table1_c', 'table1_d', {'generator.const_input': False}),
        (
            'table1_b',
            'table1_c',
            {
                'generator.mapping_layers': 0,
                'generator.use_styles': False,
                'generator.use_pixel_norm': True,
                'generator.use_instance_norm': False,
                'generator.truncation_psi': None,
            },
        ),
        (
            'table1_a',
            'table1_b',
            {
                'generator.architecture': 'progan',
                'generator.flip_from': 0,
                'generator.blur_filter': (),
                'discriminator.architecture': 'progan',
                'discriminator.blur_filter': (),
                'loss.name': 'wgan_gp',
                'train.total_kimg': 12000.0,
                'schedule.initial_resolution': 4,
            },
        ),
    ],
)
def test_table_1(name, base, expected):
    assert difference(name, base) == expected


@pytest.mark.parametrize(
    'percent, expected',
    [
        (0, {'train.style_mixing_prob': 0.0}),
        (50, {'train.style_mixing_prob': 0.5}),
        (90, {}),
        (100, {'train.style_mixing_prob': 1.0}),
    ],
)
def test_table_2(percent, expected):
    assert difference(f'table2_mix{percent}', 'ffhq') == expected


@pytest.mark.parametrize(
    'name, expected',
    [
        ('table4_traditional0', TRADITIONAL | {'generator.mapping_layers': 0}),
        ('table4_traditional8', TRADITIONAL),
        ('table4_style0', {'generator.mapping_layers': 0}),
        ('table4_style1', {'generator.mapping_layers': 1}),
        ('table4_style2', {'generator.mapping_layers': 2}),
        ('table4_style8', {}),
    ],
)
def test_table_4(name, expected):
    assert difference(name, 'ffhq') == expected


def test_small_is_for_few_images():
    """What keeps the discriminator from memorising them is on."""
    config = load_experiment('small')
    assert (config.augment.mode, config.data.validation, config.train.freeze_d) == ('ada', 0.05, 2)
    assert config.augment.speed_kimg == 100  # as in transfer in the official code


def test_small_experiments_run_on_one_replica():
    for name in ('quickstart', 'custom', 'cifar10', 'small'):
        assert load_experiment(name).replicas == 1
    assert load_experiment('quickstart').data.source == 'toy_faces'
    assert load_experiment('cifar10').image.label_dim == 10
