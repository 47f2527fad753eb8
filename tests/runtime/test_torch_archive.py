"""Files as `torch.save` writes them: read by our own reader, and by PyTorch where that is installed."""

import numpy as np
import pytest

from stylegan_jax.runtime import torch_archive, torch_pickle

CONTENT = {
    'a': {'weight': np.arange(24.0).reshape(2, 3, 4), 'scalar': np.float32(3), 'none': np.zeros((0, 2))},
    'größe': 1024,
    'transposed': np.arange(6.0).reshape(2, 3).T,
}


def test_what_is_written_is_read(tmp_path):
    torch_archive.write(tmp_path / 'file.pt', CONTENT)
    with torch_pickle.opened(tmp_path / 'file.pt') as file:
        found = file.arrays(file.content['a'] | {'transposed': file.content['transposed']})
        assert file.content.keys() == CONTENT.keys() and file.content['größe'] == 1024
    for name, array in (CONTENT['a'] | {'transposed': CONTENT['transposed']}).items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array)
    assert found['none'].shape == (0, 2) and found['scalar'].shape == ()


def test_equal_contents_make_equal_files(tmp_path):
    for name in ('a.pt', 'b.pt'):
        torch_archive.write(tmp_path / name, CONTENT)
    assert (tmp_path / 'a.pt').read_bytes() == (tmp_path / 'b.pt').read_bytes()


def test_a_file_appears_complete_or_not_at_all(tmp_path):
    with pytest.raises(ValueError):
        torch_archive.write(tmp_path / 'file.pt', {'a': 'text', 'b': np.array(['no number'])})
    assert not list(tmp_path.iterdir())


def test_pytorch_reads_them(tmp_path):
    torch = pytest.importorskip('torch')
    torch_archive.write(tmp_path / 'file.pt', CONTENT)
    for options in ({'weights_only': True}, {'weights_only': False}, {'weights_only': True, 'mmap': True}):
        found = torch.load(tmp_path / 'file.pt', **options)
        assert found['größe'] == 1024 and type(found['a']).__name__ == 'OrderedDict'
        np.testing.assert_array_equal(found['a']['weight'].numpy(), CONTENT['a']['weight'])
        np.testing.assert_array_equal(found['transposed'].numpy(), CONTENT['transposed'])
        assert found['a']['none'].shape == (0, 2) and found['a']['scalar'].shape == ()
