"""The config: what it refuses, what it derives, and its trip through JSON."""

import dataclasses
import json

import pytest

from stylegan_jax.config import (
    AugmentConfig,
    Config,
    DataConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    ImageConfig,
    LogConfig,
    LossConfig,
    ScheduleConfig,
    TrainConfig,
    serialization,
)
from stylegan_jax.config.network import num_fmaps
from stylegan_jax.errors import UserError


@pytest.mark.parametrize(
    'cls, values',
    [
        (ImageConfig, {'resolution': 100}),
        (ImageConfig, {'resolution': 2}),
        (ImageConfig, {'resolution': 0}),
        (ImageConfig, {'base_shape': (4,)}),
        (ImageConfig, {'base_shape': (0, 4)}),
        (ImageConfig, {'channels': 0}),
        (ImageConfig, {'label_dim': -1}),
        (GeneratorConfig, {'architecture': 'stylegan2'}),
        (GeneratorConfig, {'nonlinearity': 'tanh'}),
        (GeneratorConfig, {'z_dim': 0}),
        (GeneratorConfig, {'mapping_layers': -1}),
        (GeneratorConfig, {'fmap_max': 0}),
        (DiscriminatorConfig, {'architecture': 'resnet'}),
        (DiscriminatorConfig, {'nonlinearity': 'selu'}),
        (DiscriminatorConfig, {'fmap_max': 0}),
        (DiscriminatorConfig, {'mbstd_num_features': 3}),
        (DataConfig, {'source': 'tfrecord'}),
        (DataConfig, {'count': -1}),
        (DataConfig, {'validation': 1.0}),
        (AugmentConfig, {'mode': 'adaptive'}),
        (AugmentConfig, {'target': 1.0}),
        (AugmentConfig, {'speed_kimg': 0.0}),
        (AugmentConfig, {'interval': 0}),
        (AugmentConfig, {'p': 1.5}),
        (LossConfig, {'name': 'hinge'}),
        (LossConfig, {'r1_gamma': -1.0}),
        (LossConfig, {'wgan_target': 0.0}),
        (TrainConfig, {'total_kimg': -1.0}),
        (TrainConfig, {'total_kimg': float('inf')}),
        (ScheduleConfig, {'stage_kimg': float('nan')}),
        (ScheduleConfig, {'batch': 0}),
        (ScheduleConfig, {'batch_by_resolution': {8: 0}}),
        (ScheduleConfig, {'lr': 0.0}),
        (ScheduleConfig, {'lr_by_resolution': {8: float('nan')}}),
        (ScheduleConfig, {'steps_per_evaluation': 0}),
        (TrainConfig, {'style_mixing_prob': 1.1}),
        (TrainConfig, {'ema_kimg': -1.0}),
        (LogConfig, {'tick_kimg': 0.0}),
        (LogConfig, {'tick_kimg_by_resolution': {0: 10.0}}),
        (LogConfig, {'checkpoint_ticks': 0}),
        (LogConfig, {'keep_checkpoints': 0}),
        (LogConfig, {'grid_size': (0, 4)}),
        (Config, {'replicas': 0}),
        (Config, {'seed': -1}),
        (Config, {'precision': 'half'}),
        (Config, {'schedule': ScheduleConfig(initial_resolution=12)}),
    ],
)
def test_invalid_value_is_named(cls, values):
    with pytest.raises(UserError) as caught:
        cls(**values)
    (name, value), message = next(iter(values.items())), str(caught.value)
    assert '\n' not in message
    if dataclasses.is_dataclass(value):
        name, value = 'initial_resolution', 12
    assert name in message and repr(value) in message


def test_stage_and_fade_cannot_both_have_no_length():
    with pytest.raises(UserError, match='set initial_resolution'):
        ScheduleConfig(stage_kimg=0.0, fade_kimg=0.0)


def test_image_shapes():
    image = ImageConfig(resolution=512, base_shape=(3, 4))
    assert image.num_stages == 8 and image.shape == (384, 512, 3)
    assert [image.stage_shape(stage) for stage in (0, 1, 7)] == [(3, 4), (6, 8), (384, 512)]
    assert image.stage_resolution(1) == 8


def test_image_is_said_once():
    config = Config(
        image=ImageConfig(resolution=64, label_dim=3),
        generator=GeneratorConfig(z_dim=8),
        discriminator=DiscriminatorConfig(image=ImageConfig(resolution=16)),
    )
    assert config.generator.image == config.discriminator.image == config.image
    larger = dataclasses.replace(config, image=ImageConfig(resolution=128))
    assert larger.generator.image.resolution == 128 and larger.generator.z_dim == 8


def test_feature_maps_of_the_paper():
    """Progressive GAN, Table 2: 512 up to 32x32, then half at each doubling, 16 at 1024x1024."""
    maps = [num_fmaps(GeneratorConfig(), stage + 1) for stage in range(9)]
    assert maps == [512, 512, 512, 512, 256, 128, 64, 32, 16]


def test_widths_of_w():
    labelled = ImageConfig(label_dim=5)
    assert GeneratorConfig(z_dim=24, w_dim=32).mapped_dim == 32
    assert GeneratorConfig(z_dim=24, w_dim=32, mapping_layers=0).mapped_dim == 24
    assert GeneratorConfig(image=labelled, z_dim=24, mapping_layers=0).mapped_dim == 48


def test_progan_takes_only_what_it_has():
    labelled = ImageConfig(label_dim=5)
    progan = GeneratorConfig.progan(labelled, z_dim=24)
    assert progan.is_progan and progan.num_ws == 1 and progan.mapped_dim == 24 + 5
    with pytest.raises(UserError, match="architecture='progan'.*no styles"):
        GeneratorConfig(architecture='progan')


def test_layers_and_noise():
    generator = GeneratorConfig(image=ImageConfig(resolution=32, base_shape=(3, 4)))
    assert generator.num_layers == generator.num_ws == 8
    assert [generator.noise_shape(layer) for layer in (0, 1, 2, 7)] == [
        (1, 3, 4, 1),
        (1, 3, 4, 1),
        (1, 6, 8, 1),
        (1, 24, 32, 1),
    ]
    assert dataclasses.replace(generator, use_styles=False).num_ws == 1


@pytest.mark.parametrize(
    'config',
    [
        Config(),
        Config(
            name='other',
            seed=3,
            image=ImageConfig(resolution=96, base_shape=(2, 3), label_dim=4),
            generator=GeneratorConfig(blur_filter=(), truncation_psi=None),
            schedule=ScheduleConfig(
                initial_resolution=6, batch=12, batch_by_resolution={6: 24}, lr=0.1, lr_by_resolution={12: 0.2}
            ),
            log=LogConfig(grid_size=(3, 2), tick_kimg_by_resolution={}),
        ),
    ],
    ids=lambda config: config.name,
)
def test_json_round_trip(config):
    assert serialization.from_json(Config, serialization.to_json(config)) == config


def test_json_keeps_resolutions_as_numbers():
    config = Config(schedule=ScheduleConfig(batch_by_resolution={8: 64}))
    loaded = serialization.from_json(Config, serialization.to_json(config))
    assert loaded.schedule.batch_by_resolution == {8: 64}
    assert loaded.log.tick_kimg_by_resolution[1024] == 20


def test_json_of_a_network_alone():
    generator = GeneratorConfig(image=ImageConfig(resolution=16), use_noise=False)
    assert serialization.from_json(GeneratorConfig, serialization.to_json(generator)) == generator


@pytest.mark.parametrize('path', [('fmaps',), ('generator', 'fmaps'), ('generator', 'image', 'fmaps')])
def test_unknown_field_in_json_is_named(path):
    values = serialization.to_dict(Config())
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = 7
    with pytest.raises(UserError, match=r'\.'.join(path) + '=7: unknown field'):
        serialization.from_json(Config, json.dumps(values))


def test_invalid_value_in_json_is_refused():
    values = serialization.to_dict(Config()) | {'precision': 'half'}
    with pytest.raises(UserError, match="precision='half'"):
        serialization.from_json(Config, json.dumps(values))


def test_configs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1


@pytest.mark.parametrize('network', [GeneratorConfig(), DiscriminatorConfig()])
def test_network_configs_are_hashable(network):
    """They are static data of compiled functions."""
    assert hash(network) == hash(dataclasses.replace(network))
