"""Results that were obtained in one way are told from others."""

import pytest

from stylegan_jax.metrics.ways import by_way, differences


def fid(**fields):
    return {'metric': 'fid10k', 'value': 1.0, 'psi': 1.0} | fields


def test_what_was_measured_is_no_difference_and_how_is_one():
    assert differences(fid(nimg=1, kept=2, seed=3), fid(value=2.0, nimg=2, time='now', in_training=True)) == []
    assert differences(fid(psi=0.7, noise='const'), fid(data='x', noise='random')) == ['data', 'noise', 'psi']


@pytest.mark.parametrize(
    'found, expected',
    [
        ([fid(), fid(psi=0.7), fid(value=2.0)], {'': [1.0, 2.0], 'psi=0.7': [1.0]}),
        ([fid(), fid(psi=0.7)], {'': [1.0], 'psi=1.0': [1.0]}),  # the last one's way comes first
        ([fid(in_training=True), fid(value=2.0), fid(psi=0.7, which='G')], {'': [1.0, 2.0], 'psi=0.7, which=G': [1.0]}),
    ],
)
def test_ways(found, expected):
    other = {'metric': 'is10k', 'value': 5.0}
    sorted_ = by_way([*found, other])
    assert sorted_['is10k'] == {'': [other]}
    ways = sorted_['fid10k']
    assert {words: [result['value'] for result in results] for words, results in ways.items()} == expected
    assert next(iter(ways)) == ''
