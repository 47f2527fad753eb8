"""Networks of GenForce, against numbers that its own code computed."""

import re

import numpy as np
import pytest

import port_files
import stylegan_jax as sgj
import torch_writer
from stylegan_jax import conversion
from stylegan_jax.errors import UserError
from stylegan_jax.storage import genforce, loading

BOUND = 1e-4
CASES = 'stylegan', 'labels', 'dense', 'pggan'


def state_of(case, network='generator'):
    _, cases = port_files.recorded('genforce')
    state = {}
    for name, shape in cases[case][network]:
        if name.endswith('.kernel'):
            state[name] = np.tile(port_files.BLUR, (shape[0], 1, 1, 1))
        elif name.endswith('lod'):
            state[name] = np.zeros(shape, np.float32)
        else:
            state[name] = port_files.numbers(name, shape)
            if name.startswith('mapping.dense'):
                state[name] = state[name] * np.float32(100)
    return state


def written(path, content, **options):
    torch_writer.write(path, content, **options)
    return path


def recorded(case, kind):
    arrays, _ = port_files.recorded('genforce')
    return [(lod, arrays[f'{case}/{kind}_{lod}']) for lod in (0.0, 1.6)]


def assert_close(found, expected):
    assert np.abs(np.asarray(found) - expected).max() < BOUND * max(1, np.abs(expected).max())


@pytest.mark.parametrize('case', CASES)
def test_generators_draw_what_their_own_code_draws(tmp_path, case):
    other = {name: array + np.float32(1) for name, array in state_of(case).items()}
    content = {'generator': port_files.tensors(other), 'generator_smooth': port_files.tensors(state_of(case))}
    path = written(tmp_path / 'network.pth', content)
    assert genforce.is_one(content) and genforce.networks_in(path) == ('ema', 'G')
    G = genforce.load(path)
    label = {'label': np.eye(3)[[2, 0]]} if case == 'labels' else {}
    for lod, expected in recorded(case, 'images'):
        assert_close(port_files.picked(G(port_files.latents(12), lod=lod, **label)), expected)


@pytest.mark.parametrize('case', CASES[:2])
def test_discriminators_score_as_their_own_code_does(tmp_path, case):
    content = {'models': {'discriminator': port_files.tensors(state_of(case, 'discriminator'))}, 'optimizers': {}}
    path = written(tmp_path / 'checkpoint.pth', content | {'running_metadata': {'iter': 3, 'seen_img': 96}})
    assert genforce.is_one(content) and genforce.networks_in(path) == ('D',)
    D = genforce.load(path, 'D')
    label = {'label': np.eye(3)[[2, 0, 1, 1]]} if case == 'labels' else {}
    for lod, expected in recorded(case, 'scores'):
        size, channels = D.resolution >> int(lod), D.shape[-1]
        images = np.random.RandomState(3).uniform(-1, 1, (4, channels, size, size)).astype(np.float32)
        assert_close(D(np.transpose(images, (0, 2, 3, 1)), lod=lod, **label), expected)


def test_the_level_of_detail_of_a_training_comes_along(tmp_path):
    state = state_of('labels') | {'synthesis.lod': np.float32(1.25)}
    path = written(tmp_path / 'checkpoint.pth', {'generator_smooth': port_files.tensors(state)})
    network, lod = genforce.load_with_lod(path)
    assert lod == 1.25 and network.label_dim == 3
    state['synthesis.lod'] = np.float32(np.nan)
    written(path, {'generator_smooth': port_files.tensors(state)})
    assert 'level of detail is nan' in refused(path)


def refused(path, which='ema'):
    with pytest.raises(sgj.UserError) as caught:
        genforce.load(path, which)
    message = str(caught.value)
    assert message.startswith(f'{path}: ') and '\n' not in message
    return message


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'synthesis.layer0.apply_noise.weight': zeros(4, 4)}, "noise_type='channel'"),
        ({'synthesis.layer0.style.weight': zeros(64, 2)}, 'repeat_w=False'),
        ({'synthesis.layer2.blur.kernel': zeros(32, 1, 3, 3)}, 'synthesis.layer2.blur.kernel is another filter'),
        ({'synthesis.layer2.bias': zeros(5)}, r'synthesis.layer2.bias has shape \(5,\), where the code has \(32,\)'),
        ({'synthesis.other': zeros(5)}, "first 'synthesis.other'"),
        ({'synthesis.output1.weight': zeros(1, 20, 1, 1)}, 'do not halve'),
        ({'synthesis.layer0.apply_noise.weight': None}, 'neither a StyleGAN nor a Progressive GAN'),
    ],
)
def test_networks_that_cannot_be_expressed_are_refused_by_name(tmp_path, changes, message):
    state = {name: array for name, array in (state_of('labels') | changes).items() if array is not None}
    path = written(tmp_path / 'network.pth', {'generator_smooth': port_files.tensors(state)})
    assert re.search(message, refused(path))
    assert "it holds ema, and 'D' was asked for" in refused(path, 'D')


def test_the_discriminator_of_progressive_gan_is_refused(tmp_path):
    state = {'layer0.weight': zeros(2, 2, 3, 3), 'layer1.weight': zeros(2, 2, 3, 3)}
    path = written(tmp_path / 'network.pth', {'discriminator': port_files.tensors(state)})
    assert 'Progressive GAN' in refused(path, 'D') and genforce.networks_in(path) == ()


def test_files_are_found_and_converted_like_any_other(tmp_path):
    """`load`, `--init_from` and `convert` know them, and the level of detail comes along."""
    state = state_of('labels') | {'synthesis.lod': np.float32(1.25)}
    content = {'generator': port_files.tensors(state_of('labels')), 'generator_smooth': port_files.tensors(state)}
    path = written(tmp_path / 'checkpoint.pth', content)
    stored = loading.open_networks(path)
    assert (stored.names, stored.lod, stored.form) == (('ema', 'G'), 1.25, 'a file of GenForce')
    done = conversion.convert(path, tmp_path / 'all.safetensors', which='all')
    assert done.names == ('ema', 'G') and loading.open_networks(tmp_path / 'all.safetensors').lod == 1.25
    assert 'a file of GenForce' in conversion.describe(path)[0]
    with pytest.raises(UserError, match="it holds .*, and 'D' was asked for"):
        loading.load(path, 'D')
