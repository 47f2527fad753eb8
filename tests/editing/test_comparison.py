"""What projection compares by, and the reason that it gives."""

import pytest

from stylegan_jax.editing.comparison import choose
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks import catalogue


def no_discriminator():
    raise UserError('there is none')


@pytest.mark.parametrize(
    'content, reason',
    [(None, 'no weights of VGG16 are there'), (b'damaged', '{path}: ')],
    ids=['missing', 'damaged'],
)
def test_missing_weights_are_told_from_those_that_cannot_be_read(tmp_path, monkeypatch, content, reason):
    monkeypatch.setenv('STYLEGAN_JAX_CACHE', str(tmp_path))
    path = tmp_path / 'weights' / catalogue.KNOWN['vgg16'].file
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    comparison = choose((1, 64, 64, 3), no_discriminator, where='x.npz')
    assert comparison.words.startswith('pixels at all sizes (no LPIPS: ' + reason.format(path=path))
    assert comparison.words.endswith('; no discriminator in x.npz)') and comparison.lpips is None
    if content is not None:
        with pytest.raises(UserError):
            choose((1, 64, 64, 3), no_discriminator, where='x.npz', vgg=str(path))
