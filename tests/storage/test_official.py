"""Official pickles: what is read out of them, and what is refused."""

import collections
import dataclasses
import io
import os
import pickle
import re
import struct
import sys
import tracemalloc
import types

import jax
import numpy as np
import pytest

import reference_case
import tiny
from stylegan_jax.config import DiscriminatorConfig, GeneratorConfig, ImageConfig
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks.classifier import Classifier
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.storage import official, official_pickle


def read_states(case):
    """[G, D, Gs] of a case, each the dict that the official code saved; free to be changed."""

    def unwrap(network):
        state = network.state
        state['variables'] = [(name, np.asarray(value)) for name, value in state['variables']]
        state['components'] = {name: unwrap(part) for name, part in state.get('components', {}).items()}
        return state

    return [unwrap(network) for network in official_pickle.read(reference_case.pickle_path(case))]


def pretend_module(monkeypatch, name, **classes):
    """Lets pickle find classes under a module that is not installed here."""
    parts = name.split('.')
    for i in range(len(parts)):
        path = '.'.join(parts[: i + 1])
        monkeypatch.setitem(sys.modules, path, sys.modules.get(path, types.ModuleType(path)))
    for class_name, value in classes.items():
        monkeypatch.setattr(sys.modules[name], class_name, value, raising=False)


def pickled(states, monkeypatch, module='dnnlib.tflib.network', protocol=2, pickler=pickle.Pickler):
    """Pickles states, or a single one, as the official class `module`.Network does."""

    def save(network):
        return network.state

    Network = type('Network', (), {'__module__': module, '__getstate__': save})
    pretend_module(monkeypatch, module, Network=Network)

    def wrap(state):
        network = Network()
        components = {name: wrap(part) for name, part in state['components'].items()}
        network.state = state | {'components': components}
        if state.get('version') == 2:
            del network.state['components']
        return network

    file = io.BytesIO()
    pickler(file, protocol).dump(tuple(map(wrap, states)) if isinstance(states, list) else wrap(states))
    return file.getvalue()


@pytest.fixture
def rewrite(tmp_path, monkeypatch):
    """Returns a function that writes states to a new pickle and gives its path."""

    def write(states, **options):
        path = tmp_path / 'network.pkl'
        path.write_bytes(pickled(states, monkeypatch, **options))
        return str(path)

    return write


def load_all(path):
    return [official.load(path, which) for which in ('G', 'D', 'ema')]


def assert_refused(path, *, says='', which='ema'):
    """One line that names the file, and what the matter is."""
    with pytest.raises(UserError) as info:
        official.load(str(path), which)
    message = str(info.value)
    assert message.startswith(f'{path}: ') and '\n' not in message
    assert says in message


# Settings.


@pytest.mark.parametrize('case', reference_case.CASES)
def test_all_three_networks_are_read(case):
    G, D, ema = load_all(reference_case.pickle_path(case))
    assert G.config == ema.config and D.config.image == G.config.image
    assert not tiny.trees_equal(G.params, ema.params)


_WIDTHS = {'fmap_base': 160, 'fmap_max': 16}
_TRADITIONAL = {'const_input': False, 'use_noise': False}
CONFIGS = {
    'a32': GeneratorConfig.progan(ImageConfig(32), z_dim=16, **_WIDTHS),
    'b32': GeneratorConfig(
        ImageConfig(32),
        z_dim=32,
        w_dim=32,
        mapping_layers=0,
        use_styles=False,
        use_pixel_norm=True,
        use_instance_norm=False,
        truncation_psi=None,
        **_TRADITIONAL,
        **_WIDTHS,
    ),
    'c32': GeneratorConfig(ImageConfig(32), z_dim=24, w_dim=32, mapping_fmaps=28, **_TRADITIONAL, **_WIDTHS),
    'f32-labels': GeneratorConfig(ImageConfig(32, label_dim=5), z_dim=24, w_dim=32, mapping_fmaps=28, **_WIDTHS),
    'f128': GeneratorConfig(ImageConfig(128), z_dim=20, w_dim=28, mapping_fmaps=24, fmap_base=512, fmap_max=16),
}


@pytest.mark.parametrize('case', CONFIGS)
def test_arguments_become_config_fields(case):
    path, expected = reference_case.pickle_path(case), CONFIGS[case]
    assert official.load(path).config == expected
    assert official.load(path, 'D').config == DiscriminatorConfig(
        expected.image,
        architecture=expected.architecture,
        fmap_base=expected.fmap_base,
        fmap_max=expected.fmap_max,
        blur_filter=() if expected.is_progan else (1, 2, 1),
    )


@pytest.mark.parametrize(
    'argument, value, field',
    [
        ('truncation_psi', 0.5, 'truncation_psi'),
        ('truncation_cutoff', 3, 'truncation_cutoff'),
        ('mapping_lrmul', 0.1, 'mapping_lr_multiplier'),
        ('mapping_nonlinearity', 'relu', 'mapping_nonlinearity'),
        ('nonlinearity', 'relu', 'nonlinearity'),
        ('normalize_latents', False, 'normalize_latents'),
        ('use_pixel_norm', True, 'use_pixel_norm'),
        ('use_instance_norm', False, 'use_instance_norm'),
        ('fused_scale', True, 'flip_from'),
        ('blur_filter', None, 'blur_filter'),
    ],
)
def test_each_style_argument_sets_its_field(rewrite, argument, value, field):
    states = read_states('c32')
    states[2]['static_kwargs'][argument] = value
    value = {'fused_scale': 0, 'blur_filter': ()}.get(argument, value)
    assert official.load(rewrite(states)).config == dataclasses.replace(CONFIGS['c32'], **{field: value})


@pytest.mark.parametrize('fused, flipped', [('auto', [128, 256]), (True, [8, 128, 256]), (False, [])])
def test_fused_scale_says_which_sizes_are_flipped(rewrite, fused, flipped):
    states = read_states('c32')
    states[2]['static_kwargs']['fused_scale'] = fused
    flip_from = official.load(rewrite(states)).config.flip_from
    assert [size for size in (8, 128, 256) if size >= flip_from] == flipped


@pytest.mark.parametrize('wrap', [collections.OrderedDict, dict])
def test_other_dicts_of_arguments(rewrite, wrap):
    states = read_states('c32')
    for state in states:
        state['static_kwargs'] = wrap(state['static_kwargs'])
    assert official.load(rewrite(states)).config == CONFIGS['c32']


@pytest.mark.parametrize('module', ['dnnlib.util', 'dnnlib', 'tfutil'])
def test_easydict_of_arguments(rewrite, monkeypatch, module):
    EasyDict = type('EasyDict', (dict,), {'__module__': module})
    pretend_module(monkeypatch, module, EasyDict=EasyDict)
    states = read_states('c32')
    for state in states:
        state['static_kwargs'] = EasyDict(state['static_kwargs'])
    path = rewrite(states)
    assert b'EasyDict' in open(path, 'rb').read()
    assert official.load(path).config == CONFIGS['c32']


# Forms of the file.


class Python2Pickler(pickle._Pickler):
    """Writes byte strings as Python 2 does, as arrays are in the first published files."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        self.write(pickle.BINSTRING + struct.pack('<i', len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


@pytest.mark.parametrize(
    'options',
    [{'protocol': 2}, {'protocol': 4}, {'protocol': 5}, {'pickler': Python2Pickler}],
    ids=['protocol 2, latin1', 'protocol 4', 'protocol 5', 'python 2'],
)
def test_every_protocol_gives_the_same_networks(rewrite, options):
    path = rewrite(read_states('c32'), **options)
    assert (b'latin1' in open(path, 'rb').read()) == (options == {'protocol': 2})
    for ours, original in zip(load_all(path), load_all(reference_case.pickle_path('c32')), strict=True):
        assert ours.config == original.config and tiny.trees_equal(ours, original)


@pytest.mark.parametrize('core', [b'numpy.core', b'numpy._core'])
def test_module_names_of_both_numpys(rewrite, core):
    path = rewrite(read_states('c32'), protocol=2)
    content = re.sub(rb'cnumpy\._?core', b'c' + core, open(path, 'rb').read())
    assert b'c' + core + b'.multiarray\n_reconstruct' in content
    open(path, 'wb').write(content)
    assert tiny.trees_equal(load_all(path), load_all(reference_case.pickle_path('c32')))


def test_a_file_with_one_network(rewrite):
    path = rewrite(read_states('c32')[2])
    assert tiny.trees_equal(official.load(path), official.load(reference_case.pickle_path('c32')))
    assert_refused(path, says='G_style', which='D')


def test_a_file_with_one_discriminator(rewrite):
    path = rewrite(read_states('f32-labels')[1])
    original = official.load(reference_case.pickle_path('f32-labels'), 'D')
    again = official.load(path, 'D')
    assert again.config == original.config and tiny.trees_equal(again, original)


# Classifiers, which are discriminators in files of their own.


def classifier_states():
    """States of a discriminator that does not grow, as NVIDIA's classifiers are: a single logit, and no statistics."""
    state = read_states('c32')[1]
    variables = {name: value for name, value in state['variables'] if not re.match('FromRGB_lod[1-9]', name)}
    variables['4x4/Conv/weight'] = variables['4x4/Conv/weight'][:, :, :-1]
    state['static_kwargs'].update(structure='fixed', mbstd_group_size=1, resolution=32)
    state['variables'] = list(variables.items())
    return state


def test_a_classifier_that_does_not_grow(rewrite):
    path = rewrite(classifier_states())
    classifier = Classifier.load(path)
    assert (classifier.name, classifier.label_names, classifier.resolution) == ('network', ('network',), 32)
    assert 'from_rgb' in classifier.params['32x32'] and 'from_rgb' not in classifier.params['16x16']

    D = official.load(reference_case.pickle_path('c32'), 'D')
    kernel = D.params['4x4']['conv']['weight'][:, :, :-1]
    params = D.params | {'4x4': D.params['4x4'] | {'conv': D.params['4x4']['conv'] | {'weight': kernel}}}
    D = Discriminator(dataclasses.replace(D.config, mbstd_group_size=1), params)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    logits = classifier.logits(images)
    assert logits.shape == (4, 1) and np.std(logits) > 1e-3
    np.testing.assert_allclose(logits[:, 0], D(images / 127.5 - 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('case', ['a32', 'c32', 'f32-labels'])
def test_a_growing_discriminator_serves_as_a_classifier(rewrite, case):
    """Its statistics are those of batches of one group, which is what official metrics give it."""
    classifier = Classifier.load(rewrite(read_states(case)[1]))
    D = official.load(reference_case.pickle_path(case), 'D')
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    logits = classifier.logits(images)
    for group in (slice(4), slice(4, 8)):
        for k in range(logits.shape[1]):
            expected = D(images[group] / 127.5 - 1, np.full(4, k) if D.label_dim else None)
            np.testing.assert_allclose(logits[group, k], expected, rtol=1e-4, atol=1e-4)
    assert logits.shape[1] == len(classifier.label_names) == max(D.label_dim, 1)


def test_a_classifier_is_a_file_with_one_network():
    path = reference_case.pickle_path('c32')
    with pytest.raises(UserError, match='not a pickle of one network') as info:
        Classifier.load(path)
    assert str(info.value).startswith(f'{path}: ')


def test_a_generator_is_not_a_classifier(rewrite):
    with pytest.raises(UserError, match='G_style'):
        Classifier.load(rewrite(read_states('c32')[2]))


def test_a_classifier_with_a_missing_array_is_refused(rewrite):
    state = classifier_states()
    state['variables'] = [(name, value) for name, value in state['variables'] if name != '8x8/Conv0/bias']
    with pytest.raises(UserError, match='network.pkl: .*first params/8x8/conv0/bias'):
        Classifier.load(rewrite(state))


# Progressive GAN's own files.


def as_first_progan_code(states, *, swap=True):
    """State version 2; up kernels with outputs before inputs."""
    for state in states:
        state['version'] = 2
        state['variables'] = [
            (name, np.swapaxes(value, 2, 3) if swap and name.endswith('/Conv0_up/weight') else value)
            for name, value in state['variables']
        ]
    return states


def test_up_kernels_of_the_first_progan_code_are_put_in_order(rewrite):
    path = rewrite(as_first_progan_code(read_states('a32')), module='tfutil')
    assert b'dnnlib' not in open(path, 'rb').read()
    assert tiny.trees_equal(load_all(path), load_all(reference_case.pickle_path('a32')))


def test_up_kernels_with_unequal_counts_tell_their_own_order(rewrite):
    path = rewrite(as_first_progan_code(read_states('a32'), swap=False), module='tfutil')
    networks = official.load(path), official.load(reference_case.pickle_path('a32'))
    kernel, expected = (G.params['synthesis']['32x32']['conv0_up']['weight'] for G in networks)
    assert kernel.shape[2] != kernel.shape[3]
    np.testing.assert_array_equal(kernel, expected)


def test_progan_without_fusing_is_the_same_network_unflipped(rewrite):
    states = read_states('a32')
    for state in states:
        state['static_kwargs']['fused_scale'] = False
        state['variables'] = [
            (name.replace('Conv0_up', 'Conv0').replace('Conv1_down', 'Conv1'), value)
            for name, value in state['variables']
        ]
    _, D, ema = load_all(rewrite(states))
    _, fused_D, fused = load_all(reference_case.pickle_path('a32'))
    assert tiny.trees_equal((ema, D), (fused, fused_D))
    assert D.config == fused_D.config
    assert dataclasses.replace(ema.config, flip_from=0) == fused.config and ema.config.flip_from > 1024


def test_progan_labels_join_the_latents_and_leave_scores_alone(rewrite):
    """The label goes raw beside z, before both are normalised; the scores' other outputs guess it."""
    states, random = read_states('a32'), np.random.default_rng(0)
    for state, name, extra in (
        (states[1], '4x4/Dense1/weight', (16, 3)),
        (states[1], '4x4/Dense1/bias', (3,)),
        (states[2], '4x4/Dense/weight', (3, 256)),
    ):
        variables = dict(state['variables'])
        more = random.standard_normal(extra).astype(np.float32)
        variables[name] = np.concatenate([variables[name], more], axis=0 if 'Dense/' in name else -1)
        state['variables'] = list(variables.items())
    for state in states[1:]:
        state['static_kwargs']['label_size'] = 3
    path = rewrite(states)
    G, D = official.load(path), official.load(path, 'D')
    z, label = tiny.normal(4, 16), np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    assert (G.z_dim, G.label_dim, D.label_dim) == (16, 3, 3)

    states[2]['static_kwargs'].update(label_size=0, latent_size=19)
    joined = official.load(rewrite(states))
    np.testing.assert_array_equal(G(z, label), joined(np.concatenate([z, label], axis=1)))
    images = tiny.normal(4, 32, 32, 3)
    unconditional = official.load(reference_case.pickle_path('a32'), 'D')
    np.testing.assert_array_equal(D(images, label), unconditional(images))


# What is refused.


def call(module, name, argument):
    """A pickle that calls module.name(argument) when an ordinary reader opens it."""
    return f'c{module}\n{name}\n(V{argument}\ntR.'.encode()


@pytest.mark.parametrize(
    'module, name',
    [
        ('os', 'system'),
        ('posix', 'system'),
        ('nt', 'system'),
        ('subprocess', 'check_output'),
        ('builtins', 'eval'),
        ('__builtin__', 'eval'),
        ('builtins', 'exec'),
        ('builtins', 'getattr'),
        ('builtins', 'open'),
        ('functools', 'partial'),
        ('numpy', 'load'),
        ('numpy', 'ndarray.tofile'),
        ('codecs', 'open'),
        ('dnnlib.tflib.network', 'os.system'),
        ('torch', 'Network'),
        ('collections', 'namedtuple'),
    ],
)
def test_every_other_name_is_refused_unexecuted(tmp_path, module, name):
    path, marker = tmp_path / 'evil.pkl', tmp_path / 'executed'
    argument = f"open('{marker}', 'w')" if name in ('eval', 'exec') else f'touch {marker}'
    path.write_bytes(call(module, name, argument))
    assert_refused(path, says=f'{module}.{name}')
    assert not marker.exists()


def test_a_call_among_the_variables_is_refused_unexecuted(rewrite, tmp_path):
    marker = tmp_path / 'executed'

    class Call:
        def __reduce__(self):
            return os.system, (f'touch {marker}',)

    states = read_states('c32')
    states[2]['variables'].append(('lod', Call()))
    assert_refused(rewrite(states), says='system')
    assert not marker.exists()


@pytest.mark.parametrize(
    'array',
    [np.array([None]), np.zeros(2, [('a', 'f4'), ('b', 'O')]), np.zeros(2, [('a', 'f4')])],
    ids=['objects', 'records with objects', 'records'],
)
def test_arrays_of_anything_but_numbers_are_refused(rewrite, array):
    states = read_states('c32')
    states[2]['variables'].append(('lod', array))
    assert_refused(rewrite(states), says='are not read')


def test_source_code_in_a_file_is_not_executed(rewrite, tmp_path):
    marker = tmp_path / 'executed'
    states = read_states('c32')
    for state in states:
        state['build_module_src'] = f"open({str(marker)!r}, 'w')"
    official.load(rewrite(states))
    assert not marker.exists()


def test_truncated_files_are_refused(tmp_path):
    content = open(reference_case.pickle_path('b32'), 'rb').read()
    path = tmp_path / 'truncated.pkl'
    for length in [*range(4), 10, 40, 100, 300, *np.linspace(600, len(content) - 1, 12, dtype=int)]:
        path.write_bytes(content[:length])
        assert_refused(path)


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'hello\n',
        b'<html>\n<body>404</body>\n</html>',
        b'\x89PNG\r\n\x1a\n',
        bytes(100),
        b'\x80\x04\x95' + b'\xff' * 8,
    ],
    ids=['empty', 'text', 'html', 'png', 'zeros', 'impossible length'],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / 'other.pkl'
    path.write_bytes(content)
    assert_refused(path, says='not a complete pickle file')


@pytest.mark.parametrize('which', ['ema', 'D'])
@pytest.mark.parametrize(
    'value', [None, 3, 'text', [], {}, (1, 2, 3), [1, [2], {}], np.zeros(3), (np.zeros(3),) * 3], ids=str
)
def test_pickles_of_something_else_are_refused(tmp_path, value, which):
    path = tmp_path / 'else.pkl'
    path.write_bytes(pickle.dumps(value, 2))
    assert_refused(path, says='not a pickle of (G, D, Gs)', which=which)


@pytest.mark.parametrize('version', [1, 4, '3', ((2,),)])
def test_other_versions_are_refused(rewrite, version):
    states = read_states('c32')
    states[2]['version'] = version
    assert_refused(rewrite(states), says=f'version {version}')


def test_a_version_of_a_thousand_digits_is_refused(rewrite):
    states = read_states('c32')
    states[2]['version'] = 10**5000
    assert_refused(rewrite(states), says='damaged network')


# What a small file could keep a reader busy with. The sizes here are harmless; `test_damaged_files` measures.


def text(value):
    return b'X' + struct.pack('<I', len(value)) + value


NESTED = b')\x85\x85'  # (((),),): with more of it, in pairs, hashing would have no end
NAMES = {name: f'cbuiltins\n{name}\n'.encode() for name in ('dict', 'set', 'frozenset')} | {
    'OrderedDict': b'ccollections\nOrderedDict\n'
}


@pytest.mark.parametrize(
    'content',
    [
        b'}' + NESTED + b'Ns.',
        b'}(' + NESTED + b'Nu.',
        b'(' + NESTED + b'Nd.',
        b'\x8f(' + NESTED + b'\x90.',
        b'(' + NESTED + b'\x91.',
        *(NAMES[name] + b'](' + NESTED + b'N\x86e\x85R.' for name in ('dict', 'OrderedDict')),
        *(NAMES[name] + b'](' + NESTED + b'e\x85R.' for name in ('set', 'frozenset')),
        b'cdnnlib\nEasyDict\n)\x81](' + NESTED + b'N\x86eb.',
    ],
)
def test_nested_keys_are_refused_before_they_are_hashed(tmp_path, content):
    path = tmp_path / 'network.pkl'
    path.write_bytes(b'\x80\x04' + content)
    assert_refused(path, says='one of its keys is of type tuple')


def assert_refused_in_little_memory(path, says):
    tracemalloc.start()
    try:
        assert_refused(path, says=says)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('put', [b'r' + struct.pack('<I', 10**7), b'p10000000\n', b'p-1\n'])
def test_numbers_of_objects_beyond_the_size_of_the_file_are_refused(tmp_path, put):
    """Python's reader in C makes room for all objects up to the number."""
    path = tmp_path / 'network.pkl'
    path.write_bytes(b'\x80\x02N' + put + b'.')
    assert_refused_in_little_memory(path, says='not one that the official code writes')


@pytest.mark.parametrize(
    'opcode, form', [('X', '<I'), ('B', '<I'), ('T', '<i'), ('\x8d', '<Q'), ('\x8e', '<Q'), ('\x96', '<Q')]
)
def test_sizes_beyond_that_of_the_file_reserve_nothing(tmp_path, opcode, form):
    path = tmp_path / 'network.pkl'
    path.write_bytes(b'\x80\x05' + opcode.encode('latin1') + struct.pack(form, 10**8) + b'abc.')
    assert_refused_in_little_memory(path, says='bytes should follow, and there are 4')


@pytest.mark.parametrize(
    'content', [b'N2' * 50, b'}' * 120, b'](' + b'N' * 60 + b'eq\x00' + NAMES['set'] + b'h\x00\x85R']
)
def test_steps_and_copied_entries_are_counted(tmp_path, monkeypatch, content):
    monkeypatch.setattr(official_pickle._Unpickler, 'most_steps', 100)
    path = tmp_path / 'network.pkl'
    path.write_bytes(b'\x80\x04' + content + b'.')
    assert_refused(path, says='more parts than the official code writes')


@pytest.mark.parametrize('case', reference_case.CASES)
def test_official_files_are_far_from_the_bounds(monkeypatch, case):
    monkeypatch.setattr(official_pickle._Unpickler, 'most_steps', official_pickle._MOST_STEPS // 20)
    monkeypatch.setattr(official_pickle, '_SPARE', 0)
    load_all(reference_case.pickle_path(case))


def test_one_text_as_many_arrays_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(official_pickle, '_SPARE', 0)
    one = b'h\x00h\x01\x86R'  # encode(text, 'latin1')
    begin = b'\x80\x02' + text(b'a' * 100) + b'q\x00' + text(b'latin1') + b'q\x01c_codecs\nencode\nq\x02'
    path = tmp_path / 'network.pkl'
    path.write_bytes(begin + one + b'.')
    assert_refused(path, says='not a pickle of (G, D, Gs)')
    path.write_bytes(begin + one + (b'h\x02' + one) * 20 + b'.')
    assert_refused(path, says='its arrays are larger than the file')


@pytest.mark.parametrize('built', [b'cnumpy.core.multiarray\n_reconstruct\n', b']', NAMES['OrderedDict'] + b')R'])
def test_nothing_else_takes_a_state(tmp_path, built):
    """The defaults of a function, such as `_reconstruct`, would change for all files to come."""
    path = tmp_path / 'network.pkl'
    path.write_bytes(b'\x80\x02' + built + b'N}' + text(b'__defaults__') + b')s\x86b.')
    assert_refused(path, says='a state of a')
    assert official_pickle._reconstruct.__defaults__ is None


@pytest.mark.parametrize(
    'argument, value, says',
    [
        ('mapping_layers', 10**7, 'mapping_layers=10000000: give 0 to 256'),
        ('blur_filter', [1] * 10001, '10001 taps'),
        ('blur_filter', [[1], [2]], 'blur_filter is a list'),
        ('fused_scale', ((1,),), 'fused_scale is a tuple'),
        ('nonlinearity', ['lrelu'], 'nonlinearity is a list'),
        ('latent_size', 10**18, 'its settings mean (1000000000000000000, 28)'),
        ('latent_size', 10**400, ''),
        ('fmap_base', float('inf'), 'OverflowError'),
        ('label_size', 10**400, ''),
        ('use_wscale', ((), ()), 'use_wscale is a tuple'),
        ('other', 'x' * 10**6, 'other='),
    ],
)
def test_impossible_arguments_are_refused_at_once(rewrite, argument, value, says):
    states = read_states('c32')
    states[2]['static_kwargs'][argument] = value
    assert_refused(rewrite(states), says=says)


def test_a_noise_input_of_no_layer_is_refused(rewrite):
    """The size of its layer would be a number of gigabytes."""
    states = sabotaged('c32', 2, 'synthesis', lambda names: names.update({'noise99999999999': np.zeros(1)}))
    assert_refused(rewrite(states), says='a noise input for layer 99999999999, and 8 layers')


@pytest.mark.parametrize('kind', ['U3', 'c8'])
def test_arrays_of_other_than_real_numbers_are_refused(rewrite, kind):
    def change(variables):
        variables['8x8/Conv0_up/weight'] = np.zeros(variables['8x8/Conv0_up/weight'].shape, kind)

    assert_refused(rewrite(sabotaged('c32', 2, 'synthesis', change)), says='which are no weights')


@pytest.mark.parametrize('value', [((),), [[1.0]], 'x', None])
def test_variables_that_are_no_arrays_are_refused(rewrite, value):
    states = sabotaged('c32', 2, 'synthesis', lambda names: names.update({'8x8/Conv1/bias': value}))
    assert_refused(rewrite(states), says='8x8/Conv1/bias is a')


def sabotaged(case, index, component, change):
    """States of which one network's variables, a dict, went through `change`."""
    states = read_states(case)
    state = states[index]['components'][component] if component else states[index]
    variables = dict(state['variables'])
    change(variables)
    state['variables'] = list(variables.items())
    return states


ARRAYS = [
    ('c32', 2, 'synthesis', '8x8/Conv0_up/weight'),
    ('c32', 2, 'synthesis', 'ToRGB_lod1/bias'),
    ('c32', 2, 'synthesis', 'ToRGB_lod0/weight'),
    ('c32', 2, 'mapping', 'Dense3/weight'),
    ('c32', 2, '', 'dlatent_avg'),
    ('f32-labels', 2, 'synthesis', 'noise3'),
    ('f32-labels', 2, 'synthesis', '4x4/Const/const'),
    ('f32-labels', 2, 'mapping', 'LabelConcat/weight'),
    ('a32', 2, '', '8x8/Conv0_up/weight'),
    ('a32', 2, '', '8x8/Conv0_up/bias'),
    ('c32', 1, '', '4x4/Dense1/bias'),
    ('c32', 1, '', 'FromRGB_lod0/weight'),
]


@pytest.mark.parametrize('case, index, component, name', ARRAYS)
def test_a_missing_array_is_refused(rewrite, case, index, component, name):
    path = rewrite(sabotaged(case, index, component, lambda variables: variables.pop(name)))
    assert_refused(path, which=('G', 'D', 'ema')[index])


@pytest.mark.parametrize('case, index, component, name', ARRAYS)
def test_a_wrong_shape_is_refused(rewrite, case, index, component, name):
    def grow(variables):
        variables[name] = np.concatenate([variables[name]] * 2, axis=-1)

    assert_refused(rewrite(sabotaged(case, index, component, grow)), which=('G', 'D', 'ema')[index])


def test_an_extra_array_is_refused(rewrite):
    states = sabotaged('c32', 2, 'synthesis', lambda names: names.update({'8x8/Conv2/weight': np.zeros(3)}))
    assert_refused(rewrite(states), says='8x8/conv2/weight')


@pytest.mark.parametrize('key', ['static_kwargs', 'build_func_name', 'variables', 'version'])
@pytest.mark.parametrize('index', [1, 2])
def test_a_missing_part_is_refused(rewrite, key, index):
    states = read_states('c32')
    del states[index][key]
    assert_refused(rewrite(states), which=('G', 'D', 'ema')[index])


@pytest.mark.parametrize(
    'argument, value',
    [
        ('use_wscale', False),
        ('tanh_at_end', True),
        ('epilogue', 'fancy'),
        ('fused_scale', 'sometimes'),
        ('nonlinearity', 'swish'),
        ('blur_filter', [1, 3, 3, 1]),
        ('mapping_layers', 7),
    ],
)
def test_arguments_that_cannot_be_expressed_are_refused(rewrite, argument, value):
    states = read_states('c32')
    states[2]['static_kwargs'][argument] = value
    assert_refused(rewrite(states))


@pytest.mark.parametrize('index, which', [(1, 'D'), (2, 'ema')])
def test_networks_of_other_functions_are_refused(rewrite, index, which):
    states = read_states('c32')
    states[index]['build_func_name'] = 'G_fancy'
    assert_refused(rewrite(states), says='G_fancy', which=which)


def test_a_generator_where_a_discriminator_should_be_is_refused(rewrite):
    states = read_states('c32')
    assert_refused(rewrite([states[0], states[0], states[0]]), says='G_style', which='D')


def test_arrays_are_jax_arrays_in_single_precision():
    leaves = jax.tree.leaves(load_all(reference_case.pickle_path('b32')))
    assert all(isinstance(leaf, jax.Array) and leaf.dtype == np.float32 for leaf in leaves)
