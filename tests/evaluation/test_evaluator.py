"""From a small network to numbers: the same on any devices, and no number where something is missing."""

import jax
import numpy as np
import pytest

import feature_reference
import stylegan_jax as sgj
import tiny
from stylegan_jax.config import DataConfig, DiscriminatorConfig, GeneratorConfig, ImageConfig
from stylegan_jax.config.network import ClassifierConfig
from stylegan_jax.data.dataset import open_dataset
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation.evaluator import Evaluator
from stylegan_jax.evaluation.gathering import Store
from stylegan_jax.evaluation.metric_names import parse
from stylegan_jax.evaluation.options import Options
from stylegan_jax.feature_networks import catalogue, inception
from stylegan_jax.feature_networks.classifier import Classifier, init_params
from stylegan_jax.metrics.frechet import frechet_distance
from stylegan_jax.metrics.moments import Moments

IMAGE = ImageConfig(32)
CONFIG = tiny.generator_config(image=IMAGE)


@pytest.fixture(scope='module')
def dataset():
    return open_dataset(DataConfig(source='toy_faces', count=40), IMAGE)


@pytest.fixture
def evaluator(tmp_path, dataset):
    """Returns a function that makes an Evaluator of a small network of 32x32."""

    def make(config=CONFIG, folder='store', devices=jax.devices()[:1], generator=None, **options):
        return Evaluator(
            generator or tiny.generator(config),
            Options(**{'vgg': 'random', 'batch': 8} | options),
            Store(tmp_path / folder),
            dataset=dataset,
            devices=devices,
            quiet=True,
        )

    return make


def values(evaluator, names):
    return {result['metric']: result['value'] for _, some in evaluator.measure(parse(names)) for result in some}


def results(evaluator, names):
    return [result for _, some in evaluator.measure(parse(names)) for result in some]


@pytest.mark.full
def test_values_do_not_depend_on_devices(evaluator):
    names = 'fd_toy24,ppl_wend8,ppl_zfull8,ls40,diversity8'
    trained = sgj.load('toyfaces')  # a random generator's paths are too wild for rounding
    one = values(evaluator(folder='one', generator=trained), names)
    eight = values(evaluator(folder='eight', generator=trained, devices=jax.devices()), names)
    assert list(one) == ['fd_toy24', 'ppl_wend8', 'ppl_zfull8', 'ls40_z', 'ls40_w', 'diversity8']
    for name, value in one.items():
        # Of a step that short, rounding is some thousandths of each distance; and there are eight.
        assert value > 0 and eight[name] == pytest.approx(value, rel=4e-3 if 'ppl' in name else 1e-4), name


def test_frechet_distance_is_that_of_the_features(evaluator, dataset):
    network, some = Classifier.load('toy_faces'), evaluator()
    reals = Moments.of(network.features(dataset.images(np.arange(24), 3)))
    batches = some.sources.fakes.batches(0)
    fakes = Moments.of(network.features(np.concatenate([np.asarray(next(batches)) for _ in range(3)])))
    expected = frechet_distance(reals.mean, reals.covariance(), fakes.mean, fakes.covariance())
    assert values(some, 'fd_toy24')['fd_toy24'] == pytest.approx(expected, rel=1e-4)
    assert values(evaluator(ddof=0), 'fd_toy24')['fd_toy24'] != pytest.approx(expected, rel=1e-3)


def test_seeds_and_truncation_change_values(evaluator):
    value = values(evaluator(), 'fd_toy24')['fd_toy24']
    for options in ({'seed': 1}, {'psi': 0.3}, {'mirror': True}):
        assert values(evaluator(**options), 'fd_toy24')['fd_toy24'] != pytest.approx(value, rel=1e-4), options


def test_results_say_how_they_were_obtained(evaluator):
    some = evaluator()
    frechet, length, pairs, of_z, of_w = results(some, 'fd_toy24,ppl_wend8,diversity4,ls40')
    network = Classifier.load('toy_faces')
    assert frechet | {'value': 0} == {
        'metric': 'fd_toy24',
        'value': 0,
        'standard_error': None,
        'data': 'ToyFaces 40',
        'shape': (32, 32, 3),
        'mirror': False,
        'seed': 0,
        'network': some.sources.digest,
        'lod': 0.0,
        'psi': 1.0,
        'noise': 'random',
        'ddof': 1,
        'sample_precision': 'float32',
        'precision': 'float32',
        'feature_network': network.name,
        'feature_digest': network.digest,
        'reals': 24,
        'fakes': 24,
        'note': 'too few images: fewer than the 96 features, so that the value is far too large',
    }
    assert length['feature_network'] == pairs['feature_network'] == 'lpips-vgg16-random-0'
    assert length['standard_error'] > 0 and length['kept'] == 8 and length['steps'] == 8
    assert (length['space'], length['ends'], length['crop']) == ('w', True, False)
    assert pairs['standard_error'] > 0 and pairs['pairs'] == 4
    assert list(of_z['bits']) == list(network.label_names) == list(of_w['bits'])
    assert of_z['value'] == pytest.approx(2 ** sum(of_z['bits'].values()))


def test_passes_are_shared_and_forgotten(evaluator, tmp_path):
    some = evaluator()
    values(some, 'fd_toy24')
    assert len(list((tmp_path / 'store').iterdir())) == 2  # of real images and of generated ones
    for identity, count in some.passes:
        Store(tmp_path / 'store').forget(identity, count)
    (kept,) = (tmp_path / 'store').iterdir()
    assert (kept / 'features.moments.npz').exists()
    assert '"source": "reals"' in (kept / 'identity.json').read_text()


@pytest.mark.full
@pytest.mark.parametrize('way', ['legacy', 'clean'])
def test_inception_metrics(evaluator, tmp_path, way):
    """With weights by rule, and so few images that the matrices are singular."""
    path = tmp_path / 'inception.npz'
    np.savez(path, **feature_reference.rule_arrays(inception.array_shapes(), 1.1))
    found = {
        result['metric']: result
        for result in results(evaluator(inception=str(path), resize=way, batch=4), 'fid10,kid10_full,is10')
    }
    assert found['fid10']['value'] > 0 and found['fid10']['feature_network'] == 'inception-2015'
    assert found['kid10_full']['reals'] == 40 and found['kid10_full']['standard_error'] > 0
    assert found['is10']['value'] >= 1
    assert {result['resize'] for result in found.values()} == {way}


# What is missing.


def test_too_few_images(evaluator):
    with pytest.raises(UserError, match='fd_toy41 needs 41 real images, and the data set has 40; .*fd_toy41_full'):
        values(evaluator(), 'fd_toy41')


def test_no_images(tmp_path):
    lonely = Evaluator(tiny.generator(CONFIG), Options(), Store(tmp_path), quiet=True)
    with pytest.raises(UserError, match='data: fd_toy24 compares with real images; give them'):
        values(lonely, 'fd_toy24')


@pytest.mark.parametrize(
    'name, file, option',
    [
        ('fid10', 'pt_inception-2015-12-05-6726825d.pth', 'inception'),
        ('pr10k3_full', 'vgg16-', 'vgg'),
        ('ppl_wend8', 'vgg16-397923af.pth', 'vgg'),
    ],
)
def test_no_weights(evaluator, monkeypatch, tmp_path, name, file, option):
    monkeypatch.setenv('STYLEGAN_JAX_CACHE', str(tmp_path))
    fetched = f'missing; fetch them .* --metrics={name} --download`, or put {file}.* into {tmp_path}/weights'
    with pytest.raises(UserError, match=f'^{name}: .*{fetched}; evaluate also takes --{option}=FILE'):
        evaluator(vgg=None).check(parse(name))
    with pytest.raises(UserError, match='nowhere.pth: no such file') as caught:
        evaluator(**{'vgg': None, option: 'nowhere.pth'}).check(parse(name))
    assert 'evaluate also takes' not in str(caught.value)


def test_all_missing_weights_are_named_with_the_metrics_that_need_them(evaluator, monkeypatch, tmp_path):
    monkeypatch.setenv('STYLEGAN_JAX_CACHE', str(tmp_path))
    message = '^fid10, kid10_full, ppl_wend8: the weights of inception-2015 and vgg16 are missing; .* '
    with pytest.raises(UserError, match=message + '--metrics=fid10,kid10_full,ppl_wend8 --download`.* --vgg=FILE'):
        evaluator(vgg=None).check(parse('sticking8,fid10,kid10_full,ppl_wend8'))


def test_weights_that_could_not_be_fetched(evaluator, monkeypatch):
    def fetch(weights, where):
        raise UserError('there is no internet here')

    monkeypatch.setattr(catalogue, 'folder', lambda: 'nowhere')
    monkeypatch.setattr(catalogue, '_fetch', fetch)
    with pytest.raises(UserError) as caught:
        evaluator(download=True).check(parse('fid10'))
    assert str(caught.value) == 'there is no internet here'


@pytest.mark.parametrize(
    'name, side, message',
    [
        ('ls40', 16, r'^ls40 cannot .* 16x16x3: .*this classifier takes .* 32, 32.*; leave it out.*--classifiers=FILE'),
        ('fd_toy41', 16, 'this classifier takes .*; leave it out; fid, kid and pr'),  # rather than: too few images
        ('ppl_wend8', 8, 'images of 8x8 are too small for LPIPS'),
        ('diversity8', 8, 'too small for LPIPS'),
    ],
)
def test_images_of_a_size_that_a_network_does_not_take(evaluator, name, side, message):
    with pytest.raises(UserError, match=message):
        evaluator(tiny.generator_config(image=ImageConfig(side))).check(parse(name))


@pytest.mark.parametrize('batch', [pytest.param(1, marks=pytest.mark.full), 3, pytest.param(5, marks=pytest.mark.full)])
def test_pairs_are_whole_whatever_the_batch(evaluator, batch):
    expected = values(evaluator(folder='usual'), 'diversity8')['diversity8']
    assert values(evaluator(folder=str(batch), batch=batch), 'diversity8')['diversity8'] == pytest.approx(
        expected, rel=1e-3
    )


def test_precision_and_recall_names_parse_again():
    assert [metric.count for metric in parse('pr40,pr40_full,pr2k3,pr2k')] == [40, 40, 2000, 2000]


@pytest.mark.full
def test_separability_of_a_generator_without_w_is_that_of_z(tmp_path):
    image = ImageConfig(4)
    config = ClassifierConfig(
        DiscriminatorConfig(image, fmap_base=16, fmap_max=4, mbstd_group_size=0), label_names=('hat',)
    )
    Classifier.from_params(config, init_params(jax.random.key(1), config), name='hat').save(str(tmp_path / 'hat.npz'))
    generator = tiny.generator(GeneratorConfig.progan(image, z_dim=4, fmap_base=16, fmap_max=4))
    options = Options(classifiers=(str(tmp_path / 'hat.npz'),), solver='primal', batch=8)
    evaluator = Evaluator(generator, options, Store(tmp_path / 'store'), quiet=True)
    evaluator.check(parse('ls40'))
    assert [result['metric'] for result in results(evaluator, 'ls40')] == ['ls40_z']
