"""Features that several metrics have references for."""

import pytest

import metric_reference


@pytest.fixture
def reals():
    """[500, 64]."""
    return metric_reference.arrays('statistics')['real']


@pytest.fixture
def fakes():
    """[400, 64]."""
    return metric_reference.arrays('statistics')['fake']
