"""Names of metrics: what samples they ask for, and what is no name."""

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.evaluation.metric_names import Metric, parse
from stylegan_jax.metrics import (
    diversity,
    frechet,
    inception_score,
    kernel_distance,
    path_length,
    precision_recall,
    separability,
)


@pytest.mark.parametrize(
    'name, kind, count, reals',
    [
        ('fid50k', frechet.FID, 50_000, 50_000),
        ('fid', frechet.FID, 50_000, 50_000),
        ('fid50k_full', frechet.FID, 50_000, None),
        ('fid300', frechet.FID, 300, 300),
        ('kid10k_full', kernel_distance.KID, 10_000, None),
        ('is50k', inception_score.IS, 50_000, 0),
        ('pr50k3', precision_recall.PR, 50_000, 50_000),
        ('pr2k3_full', precision_recall.PR, 2_000, None),
        ('ppl_wend', path_length.PPL[3], 100_000, 0),
        ('ppl_zfull2k', path_length.PPL[0], 2_000, 0),
        ('ls', separability.LS, 200_000, 0),
        ('diversity500', diversity.DIVERSITY, 500, 0),
        ('fd_toy', frechet.FD_TOY, 5_000, 5_000),
        ('fd_toy1k_full', frechet.FD_TOY, 1_000, None),
    ],
)
def test_a_name_says_what_is_needed(name, kind, count, reals):
    assert parse(name) == [Metric(name, kind, count, reals)]


def test_names_of_paths_say_space_and_ends():
    names = 'ppl_zfull', 'ppl_wfull', 'ppl_zend', 'ppl_wend'
    sources = ('z', False), ('w', False), ('z', True), ('w', True)
    assert tuple(metric.kind.source for metric in parse(','.join(names))) == sources


def test_results_are_named_after_the_metric():
    assert [metric.results for metric in parse('fid10k,pr2k3,ls40')] == [
        ('fid10k',),
        ('pr2k3_precision', 'pr2k3_recall'),
        ('ls40_z', 'ls40_w'),
    ]


def test_message_about_other_names_lists_all_metrics():
    with pytest.raises(UserError) as raised:
        parse('fidd')
    assert str(raised.value) == (
        "metric 'fidd': there is none of that name; choose from fid50k, fid50k_full, kid50k, is50k, pr50k3, ppl_zfull, "
        'ppl_wfull, ppl_zend, ppl_wend, ls, diversity, sticking, eqt, fd_toy; any number may take the place of theirs, '
        'such as fid5k'
    )


def test_several_names():
    assert [metric.name for metric in parse(' fid50k, ppl_wend,')] == ['fid50k', 'ppl_wend']
    assert parse('') == []


@pytest.mark.parametrize(
    'name', ['fidd', 'fid50m', 'fid_', 'ppl', 'ppl_x', 'ppl_wstart', 'fid50k_half', 'pr50k4', '50k']
)
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match=f"metric '{name}': there is none of that name; choose from fid50k"):
        parse(name)


@pytest.mark.parametrize(
    'name, least',
    [
        ('fid1', '2 images'),
        ('is9', '10 images'),
        ('ls19', '20 images'),
        ('sticking1', '2 walks'),
        ('eqt1', '2 images'),
        ('ppl_wend1', '2 steps'),
        ('diversity1', '2 pairs'),
    ],
)
def test_too_few_to_mean_anything(name, least):
    with pytest.raises(UserError, match=f"'{name}': ask for at least {least}$"):
        parse(name)
