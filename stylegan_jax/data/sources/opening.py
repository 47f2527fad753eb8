"""From what --source says to a source."""

import pathlib

from stylegan_jax.data.sources.arrays import PictureArrays
from stylegan_jax.data.sources.drawn import DrawnFaces
from stylegan_jax.data.sources.files import PictureFiles
from stylegan_jax.data.sources.lsun import PictureLMDB
from stylegan_jax.data.sources.prepared_by_tfds import TFDSPictures
from stylegan_jax.data.sources.tfrecords import TFRecords
from stylegan_jax.errors import UserError

LABELS = ('auto', 'none', 'folders', 'attributes')
_FORMS = (
    'a folder or zip of PNG, JPEG or WebP files, a folder of official TFRecords, an LMDB folder, an .npz, '
    'tfds:NAME, tfds:DIRECTORY or toy_faces:COUNT@RESOLUTION'
)


def open_source(spec, *, labels='auto', count=0):
    """Opens a source of full-size pictures, whatever it is.

    Args:
      spec: a folder (searched to any depth) or .zip of PNG, JPEG and WebP files; a folder of official TFRecords; an
        LMDB folder; an .npz; 'tfds:NAME[:SPLIT]' or 'tfds:DIRECTORY[:SPLIT]'; 'toy_faces[:COUNT][@RESOLUTION]'.
      labels: 'auto' (of a dataset.json, or what TFRecords, .npz and TFDS hold), 'none', 'folders' (the first folder
        of each file's path), or 'attributes' (of toy faces).
      count: use the first so many; 0 = all.

    Returns:
      A `base.PictureSource`.

    Raises:
      UserError: there are no pictures, or other labels; the message says what to do.
    """
    if labels not in LABELS:
        raise UserError(f'--labels={labels}: choose one of {", ".join(LABELS)}')
    if count < 0:
        raise UserError(f'--count={count}: give how many, or 0 for all')
    spec = str(spec)
    return _kind_of(spec)(spec, labels=labels, count=count)


def _kind_of(spec):
    if spec.startswith('tfds:'):
        return TFDSPictures
    if spec == 'toy_faces' or spec.startswith('toy_faces:'):
        return DrawnFaces
    path = pathlib.Path(spec).expanduser()
    if not spec or not path.exists():
        raise UserError(f'--source={spec}: there is no such file or folder; give {_FORMS}')
    if not path.is_dir():
        if path.name == 'data.mdb' or path.suffix == '.tfrecords':
            raise UserError(f'--source={spec}: give the folder that it is in, {path.parent}')
        return PictureArrays if path.suffix.lower() == '.npz' else PictureFiles
    if next(path.glob('*.tfrecords'), None):
        return TFRecords
    if (path / 'data.mdb').exists() or path.name.endswith('_lmdb'):
        return PictureLMDB
    if (path / 'dataset_info.json').exists():
        raise UserError(f'--source={spec}: this is a directory of TensorFlow Datasets; give --source=tfds:{spec}')
    return PictureFiles
