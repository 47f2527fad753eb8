"""Every form on every kind of network: written, checked, and in its place only if it is what it should be."""

import dataclasses
import os

import jax
import numpy as np
import pytest

import reference_case
import stylegan_jax as sgj
import tiny
import tiny_run
from stylegan_jax import conversion, training
from stylegan_jax.config import ImageConfig
from stylegan_jax.conversion import checking, forms
from stylegan_jax.conversion.forms import Form, program_form
from stylegan_jax.errors import UserError
from stylegan_jax.storage import loading, safetensors_file
from stylegan_jax.storage.checkpoint import Checkpoints

KINDS = {
    'labels': ('F', ImageConfig(8, label_dim=3)),
    'grey': ('F', ImageConfig(8, channels=1)),
    'wide': ('F', ImageConfig(16, base_shape=(3, 4))),
    'progan': ('A', ImageConfig(8)),
}


@pytest.fixture(scope='module', params=['toyfaces', *KINDS])
def network(request, tmp_path_factory):
    """A path from which a generator is loaded."""
    if request.param == 'toyfaces':
        return 'toyfaces'
    letter, image = KINDS[request.param]
    return tiny.saved(tiny.generator(tiny.generator_config(letter, image=image)), tmp_path_factory)


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    return tiny.saved(tiny.generator(tiny.generator_config(image=ImageConfig(8))), tmp_path_factory)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run that has come to the middle of a fade, with three different networks."""
    workdir, config = tmp_path_factory.mktemp('run'), tiny_run.run_config()
    generator = tiny.generator(config.generator)
    state = training.create_state(
        config,
        generator=generator,
        discriminator=tiny.discriminator(config.discriminator),
        ema=dataclasses.replace(generator, params=tiny.filled(generator, seed=2).params),
        lod=0.5,
    )
    checkpoints = Checkpoints(workdir, keep=5)
    checkpoints.save(48, state, config, {})
    checkpoints.wait()
    checkpoints.close()
    return str(workdir)


@pytest.mark.parametrize('form', ['npz', 'safetensors', 'hub'])
def test_forms_that_are_read_back_are_the_same(network, form, tmp_path):
    out = str(tmp_path / 'network') + ''.join(forms.FORMS[form].endings)
    done = conversion.convert(network, out, form=form)
    assert [difference.largest for difference in done.differences] == [0] and done.bound == 0
    assert tiny.trees_equal(sgj.load(out), sgj.load(network)) and sgj.load(out).config == sgj.load(network).config
    assert os.listdir(tmp_path) == [os.path.basename(out)] and not done.replaced
    root = out if os.path.isdir(out) else tmp_path
    assert {*done.files} == {*os.listdir(root)}
    assert done.nbytes == sum(os.path.getsize(os.path.join(root, file)) for file in done.files)


@pytest.mark.parametrize('form', ['npz', 'safetensors'])
def test_half_precision_stays_within_its_bound(network, form, tmp_path):
    whole, half = (
        conversion.convert(network, f'{tmp_path}/{dtype}.{form}', dtype=dtype) for dtype in ('float32', 'float16')
    )
    assert half.nbytes < whole.nbytes and half.bound > 0
    largest = half.differences[0].largest
    assert largest == 0 if network == 'toyfaces' else 0 < largest < half.bound  # whose weights were of float16


def test_all_networks_of_a_run_come_from_one_checkpoint(run, tmp_path, monkeypatch):
    """Also where training saves another one between two readings."""
    opened = []
    open_networks = loading.open_networks
    monkeypatch.setattr(loading, 'open_networks', lambda path, *more: opened.append(path) or open_networks(path, *more))
    done = conversion.convert(run, tmp_path / 'all.safetensors', which='all')
    assert opened.count(run) == 1 and done.names == ('ema', 'G', 'D')
    assert [difference.which for difference in done.differences] == ['ema', 'G', 'D']
    stored = loading.open_networks(tmp_path / 'all.safetensors')
    assert (stored.lod, stored.nimg) == (0.5, 48)
    for which in ('ema', 'G', 'D'):
        assert tiny.trees_equal(stored.load(which), sgj.load(run, which))
    assert not tiny.trees_equal(stored.load('ema').params, stored.load('G').params)


def test_an_official_pickle_gives_all_three(tmp_path):
    path = reference_case.pickle_path('f32-labels')
    done = conversion.convert(path, tmp_path / 'all.safetensors', which='all')
    assert done.names == ('ema', 'G', 'D') and max(difference.largest for difference in done.differences) == 0
    for which in done.names:
        assert tiny.trees_equal(sgj.load(tmp_path / 'all.safetensors', which), sgj.load(path, which))


def test_what_a_saved_network_does_not_keep_is_said(run, tmp_path):
    done = conversion.convert(run, tmp_path / 'network.npz')
    assert done.lost == ('the level of detail: draw with lod=0.5', 'the number of images shown')
    assert done.differences[0].size == (8, 8)
    assert conversion.convert(run, tmp_path / 'network.safetensors').lost == ()


def test_a_level_of_detail_that_was_asked_for_is_kept(run, tmp_path):
    conversion.convert(run, tmp_path / 'network.safetensors', lod=1.0)
    assert loading.open_networks(tmp_path / 'network.safetensors').lod == 1
    with pytest.raises(UserError, match='lod=7.0: give a level of detail from 0'):
        conversion.convert(run, tmp_path / 'other.safetensors', lod=7.0)


def test_a_file_is_replaced_only_by_one_that_was_checked(small, tmp_path, monkeypatch):
    out = tmp_path / 'network.safetensors'
    out.write_bytes(b'before')
    with monkeypatch.context() as patch:
        found = [checking.Difference('ema', (8, 8), 8, largest=largest, mean=0.1) for largest in (0.0, float('nan'))]
        patch.setattr(checking, 'compare', lambda *args: found)
        with pytest.raises(UserError, match=r'ema: 8 images of 8x8 differ by nan at most.* nothing was written'):
            conversion.convert(small, out)
    assert out.read_bytes() == b'before' and os.listdir(tmp_path) == [out.name]
    assert conversion.convert(small, out).replaced and sgj.load(out)


@pytest.mark.parametrize('error', [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_of_a_conversion_that_was_stopped(small, tmp_path, monkeypatch, error):
    def compare(*args):
        raise error

    monkeypatch.setattr(checking, 'compare', compare)
    for name in ('network.npz', 'network.safetensors', 'hub'):
        with pytest.raises(error):
            conversion.convert(small, tmp_path / name, form='hub' if name == 'hub' else None)
    assert not os.listdir(tmp_path)


def refused(message, *args, **options):
    with pytest.raises(UserError, match=message):
        conversion.convert(*args, **options)


def test_what_cannot_be_is_refused_by_name(small, tmp_path, run):
    out = tmp_path / 'network.npz'
    refused('out=.*network.xyz: its ending tells no form; those of files are .npz, .safetensors', small, 'network.xyz')
    refused(r"form='pickle': choose one of 'npz'", small, out, form='pickle')
    refused('form=hub: .*network.npz ends as files of the form npz do', small, out, form='hub')
    refused("which='Gs': choose one of", small, out, which='Gs')
    refused("this file holds a generator, and 'D' was asked for", small, out, which='D')
    refused('which=all: the form npz holds one network, and there are ema and G and D', run, out, which='all')
    refused("dtype='int8': choose one of 'float32', 'float16'", small, out, dtype='int8')
    refused('psi=0.5: the form npz has no such choice; leave it out', small, out, psi=0.5)
    refused('weights=inside: the form npz has no such choice', small, out, weights='inside')
    refused('this is the network itself', small, small)
    refused('No such file', tmp_path / 'missing.npz', out)
    refused(r'cannot be written \(No such file or directory\)', small, tmp_path / 'missing' / 'network.npz')
    out.mkdir()
    refused('there is a folder of that name', small, out)
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'file').touch()
    refused('there is something already; choose a new folder', small, tmp_path / 'full', form='hub')
    assert sorted(os.listdir(tmp_path)) == ['full', 'network.npz'] and not os.listdir(out)


def test_an_empty_folder_may_become_one_for_a_hub(small, tmp_path):
    (tmp_path / 'hub').mkdir()
    conversion.convert(small, tmp_path / 'hub', form='hub')
    assert sgj.load(tmp_path / 'hub')


def test_files_that_cannot_be_written_are_refused(small, tmp_path, without_rights):
    with without_rights(), pytest.raises(UserError, match=r'cannot be written \(Permission denied\)'):
        conversion.convert('toyfaces', tmp_path / 'network.npz')


PROGRAMS = {'onnx': ('onnx', 'onnxruntime'), 'stablehlo': ('flatbuffers',)}
OPTIONS = [{}, {'psi': 'input', 'noise': 'inputs'}, {'inputs': 'ws', 'lod': 0.5}, {'lod': 1.0, 'noise': 'none'}]


@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('form', PROGRAMS)
def test_programs_draw_what_the_network_draws(network, form, options, tmp_path):
    for package in PROGRAMS[form]:
        pytest.importorskip(package)
    if sgj.load(network).config.is_progan:  # it has neither w nor truncation nor noise
        for name, value in options.items():
            if name != 'lod':
                refused(name, network, f'{tmp_path}/network.{form}', **{name: value})
        options = {'lod': options.get('lod', 0.0)}
    done = conversion.convert(network, f'{tmp_path}/network.{form}', **options)
    assert done.differences[0].largest < 1e-4 == done.bound
    lines = conversion.describe(f'{tmp_path}/network.{form}')
    assert len(lines) > 2 and any('images' in line for line in lines)


@pytest.mark.parametrize('form', ['rosinality'])
def test_networks_that_a_port_cannot_have_are_refused(network, form, tmp_path):
    refused('has .*, and rosinality/style-based-gan-pytorch has', network, tmp_path / 'network.pt')
    assert not os.listdir(tmp_path)


@pytest.mark.full
def test_a_network_of_a_port_at_full_width(tmp_path):
    """All three are the same at every size after a way through the port's file, and then byte for byte."""
    image, kind = ImageConfig(32), 'rosinality'
    config = sgj.GeneratorConfig(image=image, architecture=kind, truncation_cutoff=None)
    G = tiny.filled(sgj.Generator.init(jax.random.key(0), config))
    config = sgj.DiscriminatorConfig(image=image, architecture=kind, mbstd_group_size=4096)
    D = tiny.filled(sgj.Discriminator.init(jax.random.key(1), config))
    networks = {'ema': G, 'G': tiny.filled(G, seed=3), 'D': D}
    safetensors_file.write(tmp_path / 'all.safetensors', networks)
    done = conversion.convert(tmp_path / 'all.safetensors', tmp_path / 'all.pt', which='all')
    assert len(done.differences) == 12 and max(difference.largest for difference in done.differences) < 1e-4
    assert conversion.convert(tmp_path / 'all.pt', tmp_path / 'again.safetensors', which='all').names == done.names


# Forms that do not come back byte for byte, and forms that are programs: these stand in for them.


def with_form(monkeypatch, form):
    monkeypatch.setitem(forms.FORMS, form.name, form)


def lossy(size):
    """A form whose weights are off by a factor."""

    def other(network):
        changed = {'params': jax.tree.map(lambda x: x * (1 + size), network.params)}
        if isinstance(network, sgj.Generator):
            changed |= {'w_avg': network.w_avg + 1, 'noise': tuple(noise + 1 for noise in network.noise)}
        return dataclasses.replace(network, **changed)

    def write(path, request):
        safetensors_file.write(path, {which: other(network) for which, network in request.networks.items()})
        return ['the digits of the weights']

    return Form('lossy', 'a test', write, ('.lossy',), holds_several=True, bounds={None: 1e-3}, weights_only=True)


def test_networks_that_are_not_the_same_are_compared_at_every_stage(run, tmp_path, monkeypatch):
    with_form(monkeypatch, lossy(1e-6))
    done = conversion.convert(run, tmp_path / 'network.lossy', which='all')
    assert done.lost == ('the digits of the weights',)
    assert [(difference.which, difference.size) for difference in done.differences] == [
        (which, size) for which in ('ema', 'G', 'D') for size in ((8, 8), (4, 4))
    ]
    assert all(0 < difference.largest < 1e-3 for difference in done.differences)
    assert all(0 < difference.mean < difference.largest for difference in done.differences)


def test_a_difference_above_the_bound_is_refused_and_a_larger_bound_accepts_it(small, tmp_path, monkeypatch):
    with_form(monkeypatch, lossy(0.01))
    out = tmp_path / 'network.lossy'
    refused(r'images of .* differ by .* more than 0.001; nothing was written; bound=\d.* accepts it', small, out)
    assert not os.listdir(tmp_path)
    done = conversion.convert(small, out, bound=0.5)
    assert max(difference.largest for difference in done.differences) > 1e-3 and out.exists()


def program(calls, error=0.0):
    """A form that is a program: a file of what was asked for, and a `draw` by the generator itself."""
    networks = {}

    def export(generator, path, **options):
        calls.append(options)
        networks[0] = generator, options
        with open(path, 'w') as file, open(f'{path}.beside', 'w') as beside:
            print(options, file=file)
            print(1, file=beside)

    def draw(path, latents, label, *, psi, noise):
        generator, options = networks[0]
        assert (label is None) == (not generator.label_dim or options['inputs'] == 'ws')
        assert (psi is None) == (options['psi'] != 'input') and (noise is None) == (options['noise'] != 'inputs')
        noise = options['noise'] if noise is None else noise
        if options['inputs'] == 'ws':
            images = generator.synthesize(latents, noise=noise, lod=options['lod'])
        else:
            psi = options['psi'] if psi is None else psi
            images = generator(latents, label, psi=psi, noise=noise, lod=options['lod'])
        return np.asarray(images) + error

    return program_form(
        'program',
        'a program',
        '.program',
        export,
        draw,
        bounds={None: 1e-5, 'float16': 0.1},
        options=('weights',),
        describe=lambda path: ['takes z'],
    )


@pytest.mark.parametrize(
    'options',
    [{}, {'psi': 0.3, 'noise': 'none'}, {'psi': 'input', 'noise': 'inputs', 'weights': 'arguments'}, {'inputs': 'ws'}],
    ids=str,
)
def test_programs_get_the_options_and_are_checked_with_them(run, tmp_path, monkeypatch, options):
    calls = []
    with_form(monkeypatch, program(calls))
    done = conversion.convert(run, tmp_path / 'network.program', **options)
    defaults = {'inputs': 'z', 'psi': None, 'noise': 'const', 'weights': 'inside', 'lod': 0.5, 'dtype': 'float32'}
    assert calls == [defaults | options]
    assert [difference.size for difference in done.differences] == [(8, 8)]  # at the level of detail of the program
    assert done.differences[0].largest < 1e-5 and sorted(os.listdir(tmp_path)) == sorted(done.files)
    assert done.files == ('network.program', 'network.program.beside')


def test_programs_with_labels_and_of_another_level_of_detail(tmp_path, tmp_path_factory, monkeypatch):
    letter, image = KINDS['labels']
    path = tiny.saved(tiny.generator(tiny.generator_config(letter, image=image)), tmp_path_factory)
    calls = []
    with_form(monkeypatch, program(calls))
    done = conversion.convert(path, tmp_path / 'network.program', lod=1.0, dtype='float16')
    assert (calls[0]['lod'], calls[0]['dtype'], done.bound) == (1, 'float16', 0.1)
    assert done.differences[0].size == (4, 4)


def test_a_program_that_draws_other_images_is_refused(small, tmp_path, monkeypatch):
    with_form(monkeypatch, program([], error=0.01))
    refused('images of 8x8 differ by .* nothing was written', small, tmp_path / 'network.program')
    refused("psi='half': choose one of 'input'", small, tmp_path / 'network.program', psi='half')
    refused("noise='random': choose one of", small, tmp_path / 'network.program', noise='random')
    refused('the form program holds no D', small, tmp_path / 'network.program', which='D')
    assert not os.listdir(tmp_path)


def test_a_program_of_another_size_is_refused(small, tmp_path, monkeypatch):
    form = dataclasses.replace(program([]), draw=lambda *args: np.zeros((8, 4, 4, 3)))
    with_form(monkeypatch, form)
    refused(r'its images have shape \(8, 4, 4, 3\) in place of \(8, 8, 8, 3\)', small, tmp_path / 'network.program')


def test_arrays_that_are_not_the_same_are_refused(small):
    generator = sgj.load(small)
    other = dataclasses.replace(generator, w_avg=generator.w_avg + 1e-7)
    checking._require_same_arrays(generator, generator, None)
    with pytest.raises(UserError, match='its array w_avg is not the same'):
        checking._require_same_arrays(generator, other, None)
    with pytest.raises(UserError, match='other arrays'):
        checking._require_same_arrays(dataclasses.replace(generator, noise=()), generator, None)


def test_differences_of_large_values_are_relative():
    difference = checking._difference('ema', (2, 2), [np.full((1, 2, 2, 3), 10.0)], [np.full((1, 2, 2, 3), 10.1)])
    assert difference.largest == pytest.approx(0.01) and difference.count == 1


def test_a_generator_is_not_written_under_the_name_of_another(small, tmp_path):
    """Forms that name their networks would say for good that the average is the generator as trained."""
    for name, form in (('G.safetensors', None), ('hub', 'hub')):
        refused('which=G: .* has no G, and the form .*; choose ema', small, tmp_path / name, which='G', form=form)
    conversion.convert(small, tmp_path / 'G.npz', which='G')  # whose file says nothing of it
    safetensors_file.write(tmp_path / 'G.safetensors', {'G': sgj.load(small)})
    refused('has no ema, .*; choose G', tmp_path / 'G.safetensors', tmp_path / 'again.safetensors')
    assert sorted(os.listdir(tmp_path)) == ['G.npz', 'G.safetensors']


def test_a_bound_that_is_no_number_is_refused(small, tmp_path):
    refused('bound=nan: give a number from 0', small, tmp_path / 'network.npz', bound=float('nan'))
    assert not os.listdir(tmp_path)


def test_the_network_is_not_replaced_by_what_stands_beside_the_file(small, tmp_path):
    pytest.importorskip('flatbuffers')
    source, out = tmp_path / 'faces.stablehlo.safetensors', tmp_path / 'faces.stablehlo'
    safetensors_file.write(source, {'ema': sgj.load(small)})
    content = source.read_bytes()
    refused('this is the network itself', source, out, weights='arguments')
    assert os.listdir(tmp_path) == [source.name] and source.read_bytes() == content
