"""The known files of weights: their names, the folders where they are looked for, and their addresses.

`weight_files` reads them. Only `find` with `download=True` ever uses the internet.
"""

import glob
import hashlib
import http.client
import os
import pathlib
import re
import typing
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from stylegan_jax.errors import UserError
from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.cache_folder import cache_folder
from stylegan_jax.runtime.progress import progress_bar

_HERE = pathlib.Path(__file__).parent
_TIMEOUT = 60  # without a byte [seconds]
_BLOCK = 1 << 20  # read at a time [bytes]


class Weights(typing.NamedTuple):
    """A known file of weights.

    Attributes:
      file: its name, or a glob pattern; eight hexadecimal digits at the end of a name are the first of its SHA-256.
      url: its address; None if it cannot be downloaded automatically.
      metric: one that needs it, by which a command fetches it.
    """

    file: str
    url: str | None = None
    metric: str = ''


KNOWN = {
    # The network of 2015 that defines FID, converted from TensorFlow. The file of the torch-fidelity package,
    # weights-inception-2015-12-05-6726825d.pth, is identical bit for bit.
    'inception-2015': Weights(
        'pt_inception-2015-12-05-6726825d.pth',
        'https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth',
        'fid50k',
    ),
    'vgg16': Weights('vgg16-397923af.pth', 'https://download.pytorch.org/models/vgg16-397923af.pth', 'ppl_wend'),
    # NVIDIA's 40 classifiers of attributes of CelebA-HQ (Section 4.2); each file's name continues with the attribute.
    **{f'celebahq-classifier-{number:02d}': Weights(f'celebahq-classifier-{number:02d}*.pkl') for number in range(40)},
}
# The linear layers of LPIPS are small and freely licensed (the licence is beside them), so the package includes them.
_SHIPPED = {'lpips-vgg-0.1': _HERE / 'lpips_vgg_v0.1.npz'}


class MissingWeights(UserError):
    """Known weights that could be fetched are not here.

    Attributes:
      names: of the networks, as `KNOWN` has them.
    """

    def __init__(self, names: Sequence[str], metrics: Sequence[str] = (), known: Mapping[str, Weights] | None = None):
        """Says which files to fetch, and how.

        Args:
          names: see the class.
          metrics: those that were asked for and need them; () where something else does.
          known: see `find`.
        """
        self.names, weights = tuple(names), [(KNOWN if known is None else known)[name] for name in names]
        files = ' and '.join(f'{each.file} (it is {each.url})' for each in weights)
        # A whole command, because most of those that need weights have no setting that fetches them.
        fetch = ','.join(metrics or [each.metric for each in weights])
        command = f'python -m stylegan_jax.evaluate --metrics={fetch} --download'
        super().__init__(
            (f'{", ".join(metrics)}: ' if metrics else '') + f'the weights of {" and ".join(names)} are missing',
            remedy=f'fetch them once with `{command}`, or put {files} into {folder()}',
        )


def find(
    name: str,
    path: str | os.PathLike | None = None,
    *,
    download: bool = False,
    known: Mapping[str, Weights] | None = None,
) -> str:
    """Finds a file of weights.

    Args:
      name: of a network in `KNOWN`, or 'lpips-vgg-0.1'.
      path: of the file, if the user gave one; then nothing else is searched.
      download: whether to download the file into `folder()` if it is not there.
      known: a table of names that replaces `KNOWN`.

    Returns:
      The path of an existing file.

    Raises:
      MissingWeights: there is none, and it could be downloaded; the message says how, or which file to put where.
      UserError: there is none, or it could not be downloaded completely.
    """
    if path is not None:
        if not os.path.isfile(path):
            raise UserError(f'{path}: no such file; give the weights of {name}')
        return os.fspath(path)
    if name in _SHIPPED:
        return str(_SHIPPED[name])
    known = KNOWN if known is None else known
    if name not in known:
        raise UserError(f'weights {name!r} are not known; known are ' + ', '.join([*known, *_SHIPPED]))
    weights, where = known[name], folder()
    found = sorted(glob.glob(os.path.join(glob.escape(where), weights.file)))
    if found:
        return found[0]
    if weights.url is None:
        raise UserError(f'the weights of {name} are missing: put {weights.file} into {where}')
    if not download:
        raise MissingWeights([name], known=known)
    return _fetch(weights, where)


def folder() -> str:
    """Returns the folder of downloaded weights: weights/ in `cache_folder()`."""
    return os.path.join(cache_folder(), 'weights')


def _fetch(weights, where):
    """Downloads a file, which appears complete or not at all; returns its path."""
    path = os.path.join(where, weights.file)
    try:
        os.makedirs(where, exist_ok=True)
        with (
            urllib.request.urlopen(weights.url, timeout=_TIMEOUT) as reply,
            atomic.writing(path, 'wb', suffix=f'.{os.getpid()}.part') as file,
        ):
            _receive(reply, file, weights)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection with the server's answer
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise UserError(
            f'{weights.url} could not be fetched ({reason}); put {weights.file} into {where} yourself, or try again'
        ) from error
    return path


def _receive(reply, file, weights):
    """Writes the bytes that arrive, and checks the announced length and the checksum in the file's name."""
    announced = reply.headers.get('Content-Length')
    digest, received = hashlib.sha256(), 0
    bar = progress_bar(announced and int(announced), weights.file)
    bar.unit, bar.unit_scale = 'B', True
    with bar:
        while block := reply.read(_BLOCK):
            file.write(block)
            digest.update(block)
            received += len(block)
            bar.update(len(block))
    if announced and received != int(announced):
        raise OSError(f'the connection ended after {received} of {announced} bytes')
    expected = re.search(r'-([0-9a-f]{8})\.\w+$', weights.file)[1]
    if digest.hexdigest()[:8] != expected:
        raise UserError(
            f'{weights.url} sent another file than {weights.file}: its SHA-256 begins with '
            f'{digest.hexdigest()[:8]}, not {expected}; nothing was kept'
        )
