"""Networks of rosinality/style-based-gan-pytorch, against numbers that its own code computed."""

import importlib.util
import os
import pathlib
import re

import jax
import numpy as np
import pytest

import port_files
import stylegan_jax as sgj
import tiny
import torch_writer
from stylegan_jax import conversion
from stylegan_jax.config import DiscriminatorConfig, GeneratorConfig, ImageConfig
from stylegan_jax.config.network import PORTS
from stylegan_jax.errors import UserError
from stylegan_jax.networks import ports
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.storage import loading, rosinality, rosinality_names, safetensors_file

BOUND = 1e-4  # of the largest number
VERSIONS = 'rosinality', 'rosinality_2019_03', 'rosinality_2019_02', 'rosinality_2019_01'


def state_of(case, network):
    """The state dict that the images and scores of a case were computed with."""
    _, cases = port_files.recorded('rosinality')
    state = {}
    for name, shape in cases[case][network]:
        noise = re.match(r'generator\.progression\.(\d+)\.noise', name)
        if re.search(r'conv[12]\.\d\.weight(_flip)?$', name) and shape[1:] == [1, 3, 3]:
            state[name] = np.tile(port_files.BLUR, (shape[0], 1, 1, 1))
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
        images = G(
            z, psi=1, noise=noise_of(step), lod=lod_of(G, step, alpha) if step else G.config.image.num_stages - 1
        )
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


@pytest.mark.full
def test_full_width_at_1024_pixels(tmp_path):
    """The published size, all stages: images and scores."""
    content = {key: port_files.tensors(state_of('full', key)) for key in ('generator', 'discriminator')}
    path = written(tmp_path / 'train_step-9.model', content)
    G, D = (rosinality.load(path, which) for which in ('G', 'D'))
    assert G.config == GeneratorConfig(ImageConfig(1024), architecture='rosinality', truncation_cutoff=18)
    arrays, _ = port_files.recorded('rosinality')
    images = G(port_files.latents(512), psi=1, noise=noise_of(8))
    assert_close(port_files.picked(images), arrays['full/images_8_1.0'])
    reals = np.random.RandomState(7 + 8).uniform(-1, 1, (2, 3, 1024, 1024)).astype(np.float32)
    assert_close(D(np.transpose(reals, (0, 2, 3, 1))), arrays['full/scores_8_1.0'])


def test_the_average_w_is_that_of_many_latents(version):
    _, path = version
    G = rosinality.load(path)
    z = np.random.default_rng(5).standard_normal((20_000, G.z_dim))
    w = np.asarray(G.map(z))
    deviation = w.std(axis=0) / np.sqrt(10_240)
    assert np.all(np.abs(w.mean(axis=0) - G.w_avg) < 8 * deviation + 1e-6)
    assert tiny.trees_equal(G, rosinality.load(path))


def test_all_stages_are_kept_where_nothing_tells_which_were_trained(tmp_path):
    state = state_of('rosinality', 'generator')
    fresh = {name: np.zeros_like(array) if '.noise' in name else array for name, array in state.items()}
    G = rosinality.load(written(tmp_path / 'network.model', port_files.tensors(fresh)))
    assert G.resolution == 1024
    assert rosinality.load(written(tmp_path / 'network.model', port_files.tensors(state))).resolution == 128


def test_names_of_a_wrapped_module(tmp_path):
    state = state_of('rosinality_2019_03', 'generator')
    plain = rosinality.load(written(tmp_path / 'plain', port_files.tensors(state)))
    wrapped = {f'module.{name}': tensor for name, tensor in port_files.tensors(state).items()}
    assert tiny.trees_equal(rosinality.load(written(tmp_path / 'wrapped', {'generator': wrapped}), 'G'), plain)
    assert rosinality.is_one(wrapped)


def test_every_version_has_its_row():
    assert ports.BY_ARCHITECTURE.keys() == set(PORTS)


# What cannot be read.


def refused(path, which='ema'):
    with pytest.raises(sgj.UserError) as caught:
        rosinality.load(path, which)
    message = str(caught.value)
    assert message.startswith(f'{path}: ') and '\n' not in message
    return message


def changed_state(**changes):
    return port_files.tensors(state_of('rosinality', 'generator') | changes)


def test_networks_that_cannot_be_expressed_are_refused_by_name(tmp_path):
    path = tmp_path / 'network.model'
    D = state_of('rosinality', 'discriminator')
    plain = {re.sub(r'from_rgb\.(\d)\.0', r'from_rgb.\1', name): array for name, array in D.items()}
    written(path, {'generator': changed_state(), 'discriminator': port_files.tensors(plain)})
    assert 'no rectifier after from_rgb' in refused(path, 'D')
    assert rosinality.networks_in(path) == ('G',)
    assert "it holds G and D, and 'ema' was asked for" in refused(path)
    old = {'progression.0.conv.0.conv.weight_orig': np.zeros((2, 1, 3, 3), np.float32)}
    written(path, {'discriminator': port_files.tensors(old)})
    assert 'until July 2019' in refused(path, 'D') and rosinality.networks_in(path) == ()
    other = np.tile(port_files.BLUR.T[::-1] * np.float32(1.5), (32, 1, 1, 1))
    written(path, changed_state(**{'generator.progression.1.conv1.2.weight': other}))
    assert 'progression.1.conv1.2.weight is another filter' in refused(path)
    written(path, changed_state(**{'generator.more.weight': other}))
    assert "1 arrays that its code does not explain, first 'generator.more.weight'" in refused(path)
    written(path, changed_state(**{'generator.progression.2.conv2.conv.bias': np.zeros(7, np.float32)}))
    assert 'progression.2.conv2.conv.bias has shape (7,), where the code has (32,)' in refused(path)
    written(path, changed_state(**{'style.1.linear.bias': np.zeros(32, np.int64)}))
    assert 'values of type int64' in refused(path)
    written(path, changed_state(**{'generator.to_rgb.2.conv.weight_orig': np.zeros((3, 20, 1, 1), np.float32)}))
    assert 'do not halve' in refused(path)


# What is written.


@pytest.fixture
def narrow(monkeypatch):
    """Pretends that the code's networks are a sixteenth as wide, so that files are small."""
    monkeypatch.setattr(rosinality, 'WIDTHS', tuple(width // 16 for width in rosinality.WIDTHS))
    monkeypatch.setattr(rosinality_names, 'CODE', 32)


def networks(resolution, *, width=32, architecture='rosinality', group=rosinality._WHOLE_BATCH, **fields):
    """All three networks, each array with values of its own; as wide as the code's where `width` is 512."""
    image = ImageConfig(resolution)
    widths = {'fmap_base': 16 * width, 'fmap_max': width}
    config = GeneratorConfig(
        image,
        architecture=architecture,
        **dict(z_dim=width, w_dim=width, mapping_fmaps=width, truncation_cutoff=2 * image.num_stages) | widths | fields,
    )
    D = DiscriminatorConfig(image, architecture=architecture, mbstd_group_size=group, **widths)
    return {'ema': filled(Generator, config, 1), 'G': filled(Generator, config, 2), 'D': filled(Discriminator, D, 3)}


def filled(kind, config, seed):
    """A network without having it initialised, which would compile a program for each size."""
    template, random = (
        jax.eval_shape(lambda key: kind.init(key, config), jax.random.key(0)),
        np.random.default_rng(seed),
    )
    return jax.tree.map(lambda leaf: jax.numpy.asarray(random.standard_normal(leaf.shape, np.float32)), template)


def images_of(G, **options):
    return G(port_files.latents(G.z_dim), psi=1, noise=noise_of(G.config.image.num_stages - 1), **options)


@pytest.mark.parametrize('resolution', [16, 128])
def test_written_networks_are_read_back(narrow, tmp_path, resolution):
    ours, path = networks(resolution), tmp_path / 'network.pt'
    rosinality.write(path, ours)
    content = path.read_bytes()
    assert rosinality.networks_in(path) == ('ema', 'G', 'D')
    assert len(rosinality.not_carried_over(ours)) == 2
    for which, network in ours.items():
        found = rosinality.load(path, which)
        assert found.config == network.config
        expected = network.params
        if which != 'D':  # the constant has taken up its bias
            const = expected['synthesis']['4x4']['const']
            const['const'], const['bias'] = const['const'] + const['bias'], jax.numpy.zeros_like(const['bias'])
        tiny.assert_trees_close(found.params, expected, rtol=1e-5, atol=1e-6)
    rosinality.write(path, networks(resolution))
    assert path.read_bytes() == content


def test_other_networks_can_be_written_as_an_approximation(narrow, tmp_path):
    """The paper's: epsilon hardly counts, and without biases of up convolutions nothing else differs."""
    ours, path = networks(32, architecture='stylegan', group=4), tmp_path / 'network.pt'
    lost = '; '.join(rosinality.not_carried_over(ours))
    for part in ('noise inputs', 'average w', 'epsilon', 'edges', 'minibatch'):
        assert part in lost

    def difference(G):
        rosinality.write(path, {'ema': G})
        images = images_of(G)
        return np.abs(images_of(rosinality.load(path)) - images).max() / np.abs(images).max()

    assert difference(ours['ema']) > 0.01
    for side in (8, 16, 32):
        layer = ours['ema'].params['synthesis'][f'{side}x{side}']['conv0_up']
        layer['bias'] = jax.numpy.zeros_like(layer['bias'])
    assert 0 < difference(ours['ema']) < 0.001


def test_reversed_kernels_and_any_learning_rate_of_the_mapping(narrow, tmp_path):
    ours = networks(32, flip_from=16, mapping_lr_multiplier=0.1)['ema']
    rosinality.write(tmp_path / 'network.pt', {'ema': ours})
    found = rosinality.load(tmp_path / 'network.pt')
    assert found.config.flip_from == 128 and found.config.mapping_lr_multiplier == 0.01
    assert_close(images_of(found), images_of(ours))


@pytest.mark.parametrize(
    'network, message',
    [
        (('ema', 'F', {}), r'ema has z_dim=6'),
        (('ema', 'A', {}), r"ema has architecture='progan', and rosinality.* has 'rosinality' or 'stylegan'"),
        (('ema', 'F', {'image': ImageConfig(16, label_dim=3)}), 'image.label_dim=3'),
        (('ema', 'F', {'image': ImageConfig(16, channels=1)}), 'image.channels=1'),
        (('ema', 'F', {'image': ImageConfig(16, (3, 4))}), r'image.base_shape=\(3, 4\)'),
        (('ema', 'C', {'z_dim': 32, 'w_dim': 32, 'mapping_fmaps': 32, 'mapping_layers': 8}), 'const_input=False'),
        (('ema', 'F', {'z_dim': 32, 'w_dim': 32, 'mapping_fmaps': 32, 'mapping_layers': 8}), 'feature maps from 4x4'),
        (('D', 'F', {}), 'D has .* feature maps'),
        (('D', 'F', {'resolution': 64, 'fmap_base': 512, 'fmap_max': 32}), 'leave D out'),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(narrow, tmp_path, network, message):
    which, letter, fields = network
    if which == 'D':
        ours = tiny.discriminator(tiny.discriminator_config(letter, **fields))
    else:
        ours = tiny.generator(tiny.generator_config(letter, **fields))
    with pytest.raises(sgj.UserError, match=message):
        rosinality.write(tmp_path / 'network.pt', {which: ours})
    assert not list(tmp_path.iterdir())


# Against the code itself, where there is a checkout of it.


@pytest.fixture(scope='module')
def code():
    """The module `model` of a checkout, which STYLEGAN_JAX_ROSINALITY names."""
    pytest.importorskip('torch')
    folder = os.environ.get('STYLEGAN_JAX_ROSINALITY')
    if not folder:
        pytest.skip('STYLEGAN_JAX_ROSINALITY names no checkout of rosinality/style-based-gan-pytorch')
    spec = importlib.util.spec_from_file_location('rosinality_model', pathlib.Path(folder) / 'model.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.full
@pytest.mark.parametrize('resolution', [32, 256])
def test_the_code_itself_loads_what_was_written_and_draws_the_same(code, tmp_path, resolution):
    import torch

    ours, path = networks(resolution, width=512), tmp_path / 'network.pt'
    rosinality.write(path, ours)
    content = torch.load(path, weights_only=True)
    step, differences = ours['ema'].config.image.num_stages - 1, {}
    noise = [torch.from_numpy(np.transpose(image, (0, 3, 1, 2))) for image in noise_of(step)[::2]]
    z = port_files.latents(512)
    with torch.no_grad():
        for which, state in (('ema', 'g_running'), ('G', 'generator')):
            theirs = code.StyledGenerator(512).eval()
            theirs.load_state_dict(content[state], strict=True)
            for alpha in (1.0, 0.3):
                expected = theirs(torch.from_numpy(z), noise=noise, step=step, alpha=alpha).numpy()
                found = np.transpose(images_of(ours[which], lod=1 - alpha), (0, 3, 1, 2))
                differences[which, alpha] = np.abs(found - expected).max() / np.abs(expected).max()
        theirs = code.Discriminator(from_rgb_activate=True).eval()
        theirs.load_state_dict(content['discriminator'], strict=True)
        images = np.random.default_rng(1).uniform(-1, 1, (4, *ours['D'].shape)).astype(np.float32)
        expected = theirs(torch.from_numpy(np.transpose(images, (0, 3, 1, 2))), step=step, alpha=1).numpy()[:, 0]
        differences['D'] = np.abs(ours['D'](images) - expected).max() / max(1, np.abs(expected).max())
    print(differences)
    assert max(differences.values()) < BOUND


@pytest.mark.full
def test_a_network_of_full_width_that_the_code_itself_wrote(code, tmp_path):
    """Random weights of its own initialisation, trained up to 512 pixels; with the optimisers of its training."""
    import torch

    torch.manual_seed(1)
    theirs, discriminator = code.StyledGenerator(512).eval(), code.Discriminator(from_rgb_activate=True).eval()
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            if '.noise' in name and 'progression.8' not in name:
                weight.normal_()
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.0, 0.99)) for network in (theirs, discriminator)
    ]
    theirs(torch.randn(1, 512), step=0).sum().backward()
    optimizers[0].step()
    path, states = tmp_path / 'train_step-8.model', [theirs.state_dict(), discriminator.state_dict()]
    names = 'generator', 'discriminator', 'g_optimizer', 'd_optimizer', 'g_running'
    torch.save(dict(zip(names, [*states, *(o.state_dict() for o in optimizers), states[0]])), path)
    G, step = rosinality.load(path), 7
    assert G.resolution == 512
    noise = [torch.from_numpy(np.transpose(image, (0, 3, 1, 2))) for image in noise_of(step)[::2]]
    with torch.no_grad():
        z = port_files.latents(512)
        expected = theirs(torch.from_numpy(z), noise=noise, step=step, alpha=1).permute(0, 2, 3, 1).numpy()
    difference = np.abs(images_of(G) - expected).max()
    print(difference, np.abs(expected).max())
    assert difference < BOUND * np.abs(expected).max()  # its own differs as much from that in double precision


def test_files_of_every_version_are_found_like_any_other(version):
    name, path = version
    stored = loading.open_networks(path)
    assert stored.names == ('ema',) and stored.form == 'a file of rosinality/style-based-gan-pytorch'
    assert stored.load('G').config.architecture == name  # the average serves as either
    with pytest.raises(UserError, match="it holds ema, and 'D' was asked for"):
        stored.load('D')


@pytest.mark.parametrize('which', ['ema', 'G', 'D'])
def test_a_network_that_was_written_alone_is_read_back(narrow, tmp_path, which):
    network, path = networks(16)[which], tmp_path / 'network.pt'
    rosinality.write(path, {which: network})
    stored = loading.open_networks(path)
    assert stored.names == (which,) and stored.form == rosinality.FORM
    assert stored.load(which).config == network.config  # of its own size, though the file has all stages


def test_a_network_without_the_features_of_the_deviation_is_not_written(narrow, tmp_path):
    with pytest.raises(UserError, match='would have shape .* where the code has'):
        rosinality.write(tmp_path / 'network.pt', {'D': networks(16, group=1)['D']})
    assert not list(tmp_path.iterdir())


def test_what_the_form_has_no_place_for_is_said(narrow, tmp_path):
    safetensors_file.write(tmp_path / 'all.safetensors', networks(16), lod=1.0, nimg=48)
    done = conversion.convert(tmp_path / 'all.safetensors', tmp_path / 'all.pt', which='all')
    assert done.lost[-2:] == ('the level of detail: draw with lod=1', 'the number of images shown')
    safetensors_file.write(tmp_path / 'D.safetensors', {'D': networks(16, group=4)['D']})
    with pytest.raises(UserError, match='more than 0.0001; .* accepts it .not in the file: groups of the minibatch'):
        conversion.convert(tmp_path / 'D.safetensors', tmp_path / 'D.pt', which='D')


def test_a_file_without_a_mapping_network_is_refused(tmp_path):
    state = {name: array for name, array in state_of('rosinality', 'generator').items() if name[:6] != 'style.'}
    assert 'it lacks the mapping network' in refused(written(tmp_path / '130000.model', port_files.tensors(state)))


def test_weights_of_bfloat16_are_read(tmp_path):
    """They take half the bytes of what becomes of them."""
    state = {name: array.astype(np.float32) for name, array in state_of('rosinality', 'generator').items()}
    bits = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in state.items()}
    tensors = {name: torch_writer.Tensor.of(array, kind='BFloat16') for name, array in bits.items()}
    found = rosinality.load(written(tmp_path / 'half.model', tensors))
    rounded = {name: (array.astype(np.uint32) << 16).view(np.float32) for name, array in bits.items()}
    expected = rosinality.load(written(tmp_path / 'whole.model', port_files.tensors(rounded)))
    assert tiny.trees_equal(found, expected)
