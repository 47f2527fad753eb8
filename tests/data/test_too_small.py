"""The resolution that pictures suffice for which are too small for another one."""

import re

import numpy as np
import pytest
import source_files as write

from stylegan_jax.config import ImageConfig
from stylegan_jax.data import too_small
from stylegan_jax.data.sources import open_source
from stylegan_jax.data.too_small import sizes_of, suggestion


@pytest.mark.parametrize(
    'sizes, image, fit, expected',
    [
        ({(40, 50): 5}, ImageConfig(64), 'crop', 32),
        ({(64, 64): 5}, ImageConfig(64), 'crop', None),  # none is too small
        ({(3, 3): 5}, ImageConfig(64), 'crop', None),  # too small for every stage
        ({(33, 40): 99, (1, 1): 1}, ImageConfig(64), 'crop', 32),  # one in a hundred
        ({(33, 40): 98, (9, 9): 2}, ImageConfig(64), 'crop', 8),
        ({(24, 100): 5}, ImageConfig(64, (3, 4)), 'crop', 32),
        ({(23, 100): 5}, ImageConfig(64, (3, 4)), 'crop', 16),
        ({(32, 32): 5}, ImageConfig(64), 'exact', 32),
        ({(128, 128): 5}, ImageConfig(64), 'exact', None),
        ({(24, 32): 5}, ImageConfig(64), 'wide', 32),
        ({(3, 4): 5}, ImageConfig(64), 'wide', None),  # it makes no images of 4 pixels
        ({}, ImageConfig(64), 'crop', None),
    ],
)
def test_resolution_for_a_set_of_which_nothing_is_usable(sizes, image, fit, expected):
    assert resolution_in(suggested(sizes, sum(sizes.values()), image, fit)) == expected


@pytest.mark.parametrize(
    'sizes, total, max_skipped, expected',
    [
        ({(40, 40): 14, (9, 9): 1}, 1000, 0.01, 32),  # one is left out, and ten may be
        ({(40, 40): 14, (9, 9): 10}, 1000, 0.01, 32),
        ({(40, 40): 14, (9, 9): 11}, 1000, 0.01, 8),
        ({(40, 40): 14, (9, 9): 11}, 1000, 0.02, 32),
        ({(40, 40): 14, (9, 9): 1}, 1000, 0.0, 8),
        ({(40, 40): 1, None: 10}, 100, 0.01, None),  # the damaged ones alone are too many
        ({(40, 40): 1, (64, 64): 10}, 100, 0.01, None),  # damaged as well, though their headers are not
        ({(40, 40): 1, None: 1}, 100, 0.01, 32),
        ({(40, 40): 1, (9, 9): 1, None: 1}, 100, 0.01, 8),
        ({(40, 40): 1, (9, 9): 999}, 1000, 1.0, 8),  # a set of one picture is none
    ],
)
def test_resolution_at_which_no_more_pictures_are_left_out_than_may_be(sizes, total, max_skipped, expected):
    assert resolution_in(suggested(sizes, total, max_skipped=max_skipped)) == expected


def test_resolution_of_some_pictures_that_stand_for_all():
    few, many = {(40, 40): 999, (9, 9): 1}, {(40, 40): 900, (9, 9): 100}  # of 5000: 5 and 500 are smaller still
    assert resolution_in(suggested(few, 10_000, unusable=5000)) == 32
    assert resolution_in(suggested(many, 10_000, unusable=5000)) == 8


def test_an_exact_fit_loses_the_pictures_of_the_size_that_was_asked_for():
    assert not suggested({(32, 32): 5}, 100, fit='exact')
    assert resolution_in(suggested({(32, 32): 995}, 1000, fit='exact')) == 32


def test_the_words_say_whether_all_of_the_small_ones_suffice():
    assert suggested({(40, 40): 5}, 5) == 'set image.resolution=32, for which the small ones suffice'
    assert (
        suggested({(40, 40): 50, (9, 9): 1}, 1000, setting='resolution={} (and another out)')
        == 'set resolution=32 (and another out), for which enough of the small ones suffice'
    )


def test_sizes_are_those_of_evenly_spread_pictures(tmp_path, monkeypatch):
    files = {f'{n}.png': write.encode(np.zeros([4 + n, 9, 3], np.uint8)) for n in range(5)} | {'2.png': b''}
    source = open_source(write.write_folder(tmp_path, files))
    assert sizes_of(source, [0, 1, 2, 3, 4]) == {(4, 9): 1, (5, 9): 1, None: 1, (7, 9): 1, (8, 9): 1}
    monkeypatch.setattr(too_small, '_LOOKED_AT', 3)
    assert sizes_of(source, [0, 1, 2, 3, 4]) == {(4, 9): 1, None: 1, (8, 9): 1}


def suggested(sizes, total, image=ImageConfig(64), fit='crop', **options):
    return suggestion(
        sizes, image, fit, **{'unusable': sum(sizes.values()), 'total': total, 'max_skipped': 0.01} | options
    )


def resolution_in(text):
    return int(re.search(r'resolution=(\d+)', text)[1]) if text else None
