import pytest
import viewed

import tiny


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    """Path of `viewed.GENERATOR`."""
    return tiny.saved(viewed.GENERATOR, tmp_path_factory)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
