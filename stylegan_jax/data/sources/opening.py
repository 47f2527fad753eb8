"""From a path or a name to a source."""

import contextlib
import os
import pathlib

from stylegan_jax.data.prepared import is_prepared
from stylegan_jax.data.sources.arrays import PictureArrays
from stylegan_jax.data.sources.base import PREPARATION, PictureSource, SettingNames
from stylegan_jax.data.sources.drawn import DrawnFaces
from stylegan_jax.data.sources.files import PictureFiles
from stylegan_jax.data.sources.lsun import PictureLMDB
from stylegan_jax.data.sources.pictures import SUFFIXES
from stylegan_jax.data.sources.prepared_by_tfds import TFDSPictures
from stylegan_jax.data.sources.tfrecords import TFRecords, official_files
from stylegan_jax.errors import UserError

LABELS = ('auto', 'none', 'folders', 'attributes')
_FORMS = (
    'a folder or zip of pictures, a folder of official TFRecords, an LMDB folder, an .npz, '
    'tfds:NAME, tfds:DIRECTORY or toy_faces:COUNT@RESOLUTION'
)


def open_source(
    spec: str | os.PathLike, *, labels: str = 'auto', count: int = 0, settings: SettingNames = PREPARATION
) -> PictureSource:
    """Opens a source of full-size pictures, whatever it is.

    Args:
      spec: a folder (searched to any depth) or .zip of pictures; a folder of official TFRecords; an
        LMDB folder; an .npz; 'tfds:NAME[:SPLIT]' or 'tfds:DIRECTORY[:SPLIT]'; 'toy_faces[:COUNT][@RESOLUTION]'.
      labels: 'auto' (those of a dataset.json, or in TFRecords, .npz and TFDS), 'none', 'folders' (the first folder
        of each file's path), or 'attributes' (of toy faces).
      count: use only the first `count` pictures; 0 = all.
      settings: the names of the caller's settings, for messages.

    Returns:
      The source.

    Raises:
      UserError: there are no pictures, or other labels; the message says what to do.
    """
    if labels not in LABELS:
        raise UserError(f'choose one of {", ".join(LABELS)}', field=settings.labels, value=labels)
    if count < 0:
        raise UserError('give how many, or 0 for all', field=settings.count, value=count)
    kind = kind_of(spec, settings)
    source = kind(str(spec), labels=labels, count=count, settings=settings)
    if kind in (TFRecords, PictureLMDB) and (beside := min(_pictures_in(source.path), default=None)):
        source.notes += (f'{source.path}: pictures beside the {kind.kind} are not read, such as {beside}',)
    return source


def kind_of(spec: str | os.PathLike, settings: SettingNames = PREPARATION) -> type[PictureSource]:
    """Returns the class of sources that reads `spec`, which is looked at from outside only.

    Args:
      spec: see `open_source`.
      settings: the names of the caller's settings, for messages.

    Raises:
      UserError: there is nothing, or nothing that could be a source.
    """
    spec = str(spec)
    if spec.startswith('tfds:'):
        return TFDSPictures
    if spec == 'toy_faces' or spec.startswith('toy_faces:'):
        return DrawnFaces
    path = pathlib.Path(spec).expanduser()
    if not spec or not path.exists():
        raise UserError('there is no such file or folder', field=settings.path, value=spec, remedy=f'give {_FORMS}')
    if not path.is_dir():
        if path.name == 'data.mdb' or path.suffix == '.tfrecords':
            raise UserError(f'give the folder that it is in, {path.parent}', field=settings.path, value=spec)
        return PictureArrays if path.suffix.lower() == '.npz' else PictureFiles
    if is_prepared(path):
        raise UserError(
            'this is a data set that prepare_data made',
            field=settings.path,
            value=spec,
            remedy=f'train on it as it is, with data.path={spec}, or give what it was made from',
        )
    if official_files(path):
        return TFRecords
    if (path / 'data.mdb').exists():
        return PictureLMDB
    if next(_pictures_in(path), None):  # whatever else is there
        return PictureFiles
    if next(path.glob('*.tfrecords'), None):
        return TFRecords  # whose error names the files
    if path.name.endswith('_lmdb') and not any(child.is_dir() for child in path.iterdir()):
        return PictureLMDB
    if (path / 'dataset_info.json').exists():
        raise UserError(
            'this is a directory of TensorFlow Datasets', field=settings.path, value=spec, remedy=f'give tfds:{spec}'
        )
    return PictureFiles


def _pictures_in(folder):
    """Yields the names of the pictures that lie in a folder itself."""
    with contextlib.suppress(OSError):  # one that cannot be listed is for the source to name
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith('.'):
                    yield entry.name
