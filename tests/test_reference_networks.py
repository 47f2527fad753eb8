"""Images, scores, losses and gradients against what the official implementation computed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reference_case
from stylegan_jax.config import LossConfig
from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.networks.discriminator import discriminate
from stylegan_jax.networks.generator import broadcast_w, map_latents, synthesize_images
from stylegan_jax.storage import official
from stylegan_jax.training import discriminator_loss, generator_loss

pytestmark = pytest.mark.usefixtures('exact_products')
VALUE_ERROR, GRADIENT_ERROR = 1e-5, 1e-4


def arrays_named(prefix):
    """[(case, rest of the name)] of all arrays that begin so."""
    return [
        (case, name.removeprefix(prefix))
        for case in reference_case.CASES
        for name in reference_case.open_case(case)[0]
        if name.startswith(prefix)
    ]


@functools.cache
def network(case, which):
    return official.load(reference_case.pickle_path(case), which)


def reals_at(arrays, lod):
    return reference_case.shrink(reference_case.channels_last(arrays['reals']), 2 ** int(lod))


def assert_images_match(images, expected):
    """Compares with official images, which are always full size."""
    images = reference_case.repeat(images, expected.shape[-1] // images.shape[2])
    assert reference_case.relative_error(images, reference_case.channels_last(expected)) <= VALUE_ERROR


@pytest.mark.smoke
@pytest.mark.parametrize('case, lod', arrays_named('images_lod'))
def test_images(case, lod):
    arrays, _ = reference_case.open_case(case)
    G = network(case, 'ema')
    untruncated = {} if G.config.is_progan else {'psi': 1}
    assert_images_match(
        G(arrays['latents'], arrays['labels'], lod=float(lod), **untruncated), arrays[f'images_lod{lod}']
    )


@pytest.mark.parametrize('case, truncation', arrays_named('images_psi'))
def test_truncated_images(case, truncation):
    arrays, _ = reference_case.open_case(case)
    psi, cutoff = truncation.split('_cut')
    images = network(case, 'ema')(arrays['latents'], arrays['labels'], psi=float(psi), cutoff=int(cutoff))
    assert_images_match(images, arrays[f'images_psi{truncation}'])


@pytest.mark.parametrize('case, _', arrays_named('dlatents'))
def test_w_of_every_layer(case, _):
    arrays, _ = reference_case.open_case(case)
    G = network(case, 'ema')
    ws = G.truncate(G.map(arrays['latents'], arrays['labels']), psi=1)
    assert reference_case.relative_error(ws, arrays['dlatents']) <= VALUE_ERROR


@pytest.mark.smoke
@pytest.mark.parametrize('case, lod', arrays_named('scores_lod'))
def test_scores(case, lod):
    arrays, _ = reference_case.open_case(case)
    scores = network(case, 'D')(reals_at(arrays, float(lod)), arrays['labels'], lod=float(lod))
    assert reference_case.relative_error(scores, arrays[f'scores_lod{lod}'][:, 0]) <= VALUE_ERROR


@functools.cache
def losses_and_gradients(case, lod):
    """{'g': (mean loss, gradients), 'd': ...} as a training step computes them, in double precision.

    In float32 rounding decides on which side of a rectifier a feature near zero is (one of a32's is 5e-8), and with it
    0.04 % of a gradient.
    """
    with jax.enable_x64(True):
        return _losses_and_gradients(case, lod, np.float64)


def _losses_and_gradients(case, lod, dtype):
    arrays, settings = reference_case.open_case(case)
    arrays = {name: array.astype(dtype) for name, array in arrays.items() if '_grad_' not in name}
    G, D = (jax.tree.map(lambda x: jnp.asarray(x, dtype), network(case, which)) for which in 'GD')
    config = LossConfig(name=settings['loss'])
    label, reals = arrays['labels'], reals_at(arrays, lod)
    stage, alpha = stage_and_alpha(G.config.image, lod)

    def logits_of(d_params, images):
        return discriminate(D.config, d_params, images, label, stage=stage, alpha=alpha)

    def g_loss(g_params):
        ws = broadcast_w(G.config, map_latents(G.config, g_params, arrays['latents'], label))
        fakes = synthesize_images(G.config, g_params, ws, G.noise[: 2 * stage + 2], stage=stage, alpha=alpha)
        return jnp.mean(generator_loss(config, logits_of(D.params, fakes))), fakes

    def d_loss(d_params, fakes):
        loss, _ = discriminator_loss(
            config,
            functools.partial(logits_of, d_params),
            reals,
            fakes,
            shrink=2 ** int(lod),
            gp_factors=arrays['gp_mixing_factors'],
        )
        return jnp.mean(loss)

    (g_value, fakes), g_gradients = jax.jit(jax.value_and_grad(g_loss, has_aux=True))(G.params)
    return {'g': (g_value, g_gradients), 'd': jax.jit(jax.value_and_grad(d_loss))(D.params, fakes)}


# One level of detail of each network by default, and none of the largest.
_LOSSES = [(case, float(lod)) for case, lod in arrays_named('g_loss_mean_lod')]
_FIRST = {case: lod for case, lod in reversed(_LOSSES) if case != 'f128'}
LOSSES = [pytest.param(*pair, marks=() if pair in _FIRST.items() else pytest.mark.full) for pair in _LOSSES]


@pytest.mark.parametrize('net', ['g', 'd'])
@pytest.mark.parametrize('case, lod', LOSSES)
def test_losses(case, lod, net):
    expected = reference_case.open_case(case)[0][f'{net}_loss_mean_lod{lod}']
    loss, _ = losses_and_gradients(case, lod)[net]
    assert loss == pytest.approx(float(expected), rel=VALUE_ERROR)


@pytest.mark.parametrize('net', ['g', 'd'])
@pytest.mark.parametrize('case, lod', LOSSES)
def test_gradients(case, lod, net):
    _, gradients = losses_and_gradients(case, lod)[net]
    assert_gradients_match(case, lod, net, gradients)


@pytest.mark.full
@pytest.mark.parametrize('case, lod', LOSSES)
def test_gradients_in_single_precision(accelerator_forms, case, lod):
    """With accelerators' convolutions, whose rounding leaves every feature on the official side of its rectifier."""
    for net, (loss, gradients) in _losses_and_gradients(case, lod, np.float32).items():
        assert loss.dtype == np.float32
        assert_gradients_match(case, lod, net, gradients)


def assert_gradients_match(case, lod, net, gradients):
    arrays, _ = reference_case.open_case(case)
    prefix = f'{net}_grad_lod{lod}:'
    expected = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    assert len(expected) == len(jax.tree.leaves(gradients))
    for variable, array in expected.items():
        gradient = reference_case.parameter(gradients, variable)
        assert np.any(gradient) == np.any(array), variable  # nothing where the stage does not reach
        assert reference_case.relative_error(gradient, array) <= GRADIENT_ERROR, variable
