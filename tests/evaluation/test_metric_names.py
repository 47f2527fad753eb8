"""Names of metrics: what samples they ask for, and what is no name."""

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.evaluation.metric_names import Metric, parse


@pytest.mark.parametrize(
    'name, expected',
    [
        ('fid50k', Metric('fid50k', 'fid', 50_000, 50_000)),
        ('fid', Metric('fid', 'fid', 50_000, 50_000)),
        ('fid50k_full', Metric('fid50k_full', 'fid', 50_000, None)),
        ('fid300', Metric('fid300', 'fid', 300, 300)),
        ('kid10k_full', Metric('kid10k_full', 'kid', 10_000, None)),
        ('is50k', Metric('is50k', 'is', 50_000)),
        ('pr50k3', Metric('pr50k3', 'pr', 50_000, 50_000)),
        ('pr2k3_full', Metric('pr2k3_full', 'pr', 2_000, None)),
        ('ppl_wend', Metric('ppl_wend', 'ppl', 100_000, 0, 'w', True)),
        ('ppl_zfull2k', Metric('ppl_zfull2k', 'ppl', 2_000, 0, 'z', False)),
        ('ls', Metric('ls', 'ls', 200_000)),
        ('diversity500', Metric('diversity500', 'diversity', 500)),
        ('fd_toy', Metric('fd_toy', 'fd_toy', 5_000, 5_000)),
        ('fd_toy1k_full', Metric('fd_toy1k_full', 'fd_toy', 1_000, None)),
    ],
)
def test_a_name_says_what_is_needed(name, expected):
    assert parse(name) == [expected]


def test_several_names():
    assert [metric.name for metric in parse(' fid50k, ppl_wend,')] == ['fid50k', 'ppl_wend']
    assert parse('') == []


@pytest.mark.parametrize(
    'name', ['fidd', 'fid50m', 'fid_', 'ppl', 'ppl_x', 'ppl_wstart', 'fid50k_half', 'pr50k4', '50k']
)
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match=f"metric '{name}': there is none of that name; choose from fid50k"):
        parse(name)


@pytest.mark.parametrize('name, least', [('fid1', 2), ('is9', 10), ('ls19', 20)])
def test_too_few_to_mean_anything(name, least):
    with pytest.raises(UserError, match=f"'{name}': ask for at least {least}"):
        parse(name)
