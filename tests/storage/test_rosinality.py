"""Networks of rosinality/style-based-gan-pytorch, against numbers that its own code computed."""

import importlib.util
import os
import pathlib
import re

import jax.numpy as jnp
import numpy as np
import pytest

import port_files
import stylegan_jax as sgj
import tiny
import torch_writer
from stylegan_jax.config import DiscriminatorConfig, GeneratorConfig, ImageConfig
from stylegan_jax.networks import ports
from stylegan_jax.config.network import PORTS
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.storage import rosinality

BOUND = 1e-4  # of the largest number
BLUR = np.outer((1, 2, 1), (1, 2, 1)).astype(np.float32) / 16
VERSIONS = 'rosinality', 'rosinality_2019_03', 'rosinality_2019_02', 'rosinality_2019_01'


def state_of(case, network):
    """The state dict that the images and scores of a case were computed with."""
    _, cases = port_files.recorded('rosinality')
    state = {}
    for name, shape in cases[case][network]:
        noise = re.match(r'generator\.progression\.(\d+)\.noise', name)
        if re.search(r'conv[12]\.\d\.weight(_flip)?$', name) and shape[1:] == [1, 3, 3]:
            state[name] = np.tile(BLUR, (shape[0], 1, 1, 1))
        elif noise and int(noise[1]) >= cases[case]['trained']:
            state[name] = np.zeros(shape, np.float32)
        else:
            state[name] = port_files.numbers(name, shape)
        if re.match(r'generator\.progression\.0\.(conv1\.input|noise1)', name):
            state[name] = state[name] * np.float32(0.005)
    return state


def written(path, content, **options):
    torch_writer.write(path, content, **options)
    return path


@pytest.fixture(scope='module', params=VERSIONS)
def version(request, tmp_path_factory):
    """(its name, a path of a file with the averaged generator alone)."""
    path = tmp_path_factory.mktemp(request.param) / '130000.model'
    container = 'zip' if request.param == 'rosinality' else 'stream'  # PyTorch's own before and after 1.6
    return request.param, written(path, port_files.tensors(state_of(request.param, 'generator')), container=container)


def recorded(case, kind):
    """{(step, alpha): what was recorded}."""
    arrays, _ = port_files.recorded('rosinality')
    pattern = re.compile(rf'{case}/{kind}_(\d)_([\d.]+)')
    return {
        (int(match[1]), float(match[2])): array for name, array in arrays.items() if (match := pattern.fullmatch(name))
    }


def lod_of(network, step, alpha):
    return network.config.image.num_stages - step - alpha


def noise_of(step):
    """That of the recording, the same in both layers of a stage."""
    images = [port_files.numbers(f'noise{stage}', (2, 4 << stage, 4 << stage, 1)) for stage in range(step + 1)]
    return [image for image in images for _ in range(2)]


def assert_close(found, expected):
    scale = np.abs(expected).max()
    assert np.abs(np.asarray(found) - expected).max() < BOUND * max(scale, 1), np.abs(found - expected).max() / scale


def test_generators_draw_what_their_own_code_draws(version):
    case, path = version
    G = rosinality.load(path)
    arrays, cases = port_files.recorded('rosinality')
    assert G.config.architecture == case and G.config.image.num_stages == cases[case]['trained']
    z = port_files.latents(G.z_dim)
    assert_close(G.map(z), arrays[f'{case}/w'])
    for (step, alpha), expected in recorded(case, 'images').items():
        images = G(z, psi=1, noise=noise_of(step), lod=lod_of(G, step, alpha) if step else G.config.image.num_stages - 1)
        assert_close(port_files.picked(images), expected)


def test_discriminators_score_as_their_own_code_does(tmp_path):
    generator, discriminator = (state_of('rosinality', network) for network in ('generator', 'discriminator'))
    content = {
        'generator': port_files.tensors(generator),
        'discriminator': port_files.tensors(discriminator),
        'g_optimizer': {'state': {0: {'step': 3, 'exp_avg': torch_writer.Tensor.of(np.ones(2, np.float32))}}},
        'd_optimizer': {'param_groups': [{'lr': 1e-3, 'betas': (0.0, 0.99), 'amsgrad': False, 'params': [0, 1]}]},
        'g_running': port_files.tensors(generator),
    }
    path = written(tmp_path / 'train_step-5.model', content)
    assert rosinality.networks_in(path) == ('ema', 'G', 'D')
    D = rosinality.load(path, 'D')
    for (step, alpha), expected in recorded('rosinality', 'scores').items():
        size = 4 << step
        images = np.random.RandomState(7 + step).uniform(-1, 1, (6, 3, size, size)).astype(np.float32)
        lod = lod_of(D, step, alpha) if step else D.config.image.num_stages - 1
        assert_close(D(np.transpose(images, (0, 2, 3, 1)), lod=lod), expected)
