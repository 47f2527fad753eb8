"""Metrics describe themselves: all of them are documented, and none reaches outside of its folder."""

import ast
import pathlib
import re

import pytest

import stylegan_jax
from stylegan_jax import evaluate
from stylegan_jax.evaluation.metric_names import parse, published_names
from stylegan_jax.metrics.catalogue import METRICS
from stylegan_jax.metrics.kind import Paths, Shifts, Walks

PACKAGE = pathlib.Path(stylegan_jax.__file__).parent
FILES = sorted((PACKAGE / 'metrics').glob('*.py'))


def names_in_readme():
    """Names in the first column of README's table of metrics."""
    table = (PACKAGE.parent / 'README.md').read_text().partition('| metric | what it is |\n')[2].partition('\n\n')[0]
    return [name for row in table.splitlines() for name in re.findall('`(.+?)`', row.split('|')[1])]


def test_readme_names_every_metric_and_no_other():
    assert sorted(names_in_readme()) == sorted(published_names())


def test_help_of_the_command_names_every_metric():
    listed = re.search('Metrics: (.+?);', evaluate.__doc__, flags=re.DOTALL)[1]
    assert sorted(re.findall(r'\w+\d\w*|ppl_\w+|ls|diversity|sticking|eqt|fd_toy', listed)) == sorted(published_names())


@pytest.mark.parametrize('kind', METRICS, ids=lambda kind: kind.name)
def test_published_names_are_names_of_the_metric(kind):
    assert [metric.kind for metric in parse(','.join(kind.published))] == [kind] * len(kind.published)
    assert kind.fewest <= kind.count


@pytest.mark.parametrize('kind', METRICS, ids=lambda kind: kind.name)
def test_what_a_description_says_fits_together(kind):
    """Sources other than images have outputs or networks of their own; only images are compared with real ones."""
    assert {form for _, form in kind.keeps} <= {'moments', 'rows'}
    assert not kind.with_reals or kind.source == 'fakes'
    assert not isinstance(kind.source, Paths) or (kind.network, kind.unit) == ('lpips', 'steps')
    assert (kind.network is None) == isinstance(kind.source, Walks | Shifts)
    assert (kind.source == 'pairs') == (kind.unit == 'pairs')


def test_names_of_metrics_are_unique():
    assert len({kind.name for kind in METRICS}) == len(METRICS)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_metrics_are_arrays_in_and_numbers_out(path):
    """They import nothing else of the package but the error that users cause."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith('stylegan_jax'):
            assert node.module.startswith('stylegan_jax.metrics') or node.module == 'stylegan_jax.errors'
