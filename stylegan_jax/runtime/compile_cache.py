"""The folder that keeps compiled programs from one start to the next.

On a GPU, XLA tries several algorithms for each convolution and keeps the fastest one (autotuning). JAX lets it write
these choices to `xla_gpu_per_fusion_autotune_cache_dir` in the same folder as soon as there is one, unless
$JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES says otherwise. So a new program with the same convolutions, such as that of the
next stage, tries only those that it adds.

How programs are compiled in threads is the subject of `runtime.compiling`.
"""

import contextlib
import os
import pathlib
import sys
import tempfile
import zlib

from absl import flags

_OFF = '', 'none'
_CHECKED = '.checked'  # an empty file; its time says when the entries were last checked
_ENTRIES = '*-cache'  # JAX names them so.
_ZSTANDARD_MAGIC = b'\x28\xb5\x2f\xfd'  # the first bytes of everything that zstandard compressed

CACHE = flags.DEFINE_string(
    'compilation_cache',
    None,
    'Folder that keeps compiled programs for the next start; none '
    'keeps nothing. The default is $JAX_COMPILATION_CACHE_DIR, or stylegan_jax in '
    '$XDG_CACHE_HOME or ~/.cache.',
)


def use_cache(directory: str | None = None) -> str | None:
    """Lets JAX keep programs that took longer than a second to compile in a folder, and look there first.

    It must be called before anything is compiled. If the folder cannot be used, a warning on stderr says so, and
    nothing is kept.

    Args:
      directory: the folder, which is made if missing. '' or 'none' switches the cache off; None takes the default.

    Returns:
      The folder as an absolute path, or None if nothing is kept.
    """
    directory = _default() if directory is None else directory
    if directory.lower() in _OFF:
        directory = None
    else:
        directory = os.path.abspath(os.path.expanduser(directory))
        try:
            os.makedirs(directory, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):  # tells whether the folder can be written
                pass
            _drop_torn(pathlib.Path(directory))
        except OSError as error:
            print(
                f'warning: --compilation_cache={directory} cannot be used ({error.strerror or error}); the next '
                'start compiles anew',
                file=sys.stderr,
            )
            directory = None
    import jax  # takes most of a second, and commands define the flag above before they know whether they compile

    jax.config.update('jax_compilation_cache_dir', directory)
    return directory


def _default():
    caches = os.environ.get('XDG_CACHE_HOME') or os.path.join('~', '.cache')
    return os.environ.get('JAX_COMPILATION_CACHE_DIR') or os.path.join(caches, 'stylegan_jax')


def _drop_torn(directory):
    """Removes entries that were not written to their end: JAX would warn about them at every start.

    Only entries that are newer than the last check are read. An entry that another process is writing at the moment is
    removed as well; the program is then compiled once more at the next start.
    """
    stamp = directory / _CHECKED
    checked = stamp.stat().st_mtime_ns if stamp.exists() else 0
    for path in directory.glob(_ENTRIES):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime_ns >= checked and not _is_whole(path.read_bytes()):
                path.unlink()
    stamp.touch()


def _is_whole(entry):
    """Tells whether an entry can be decompressed. JAX compresses with zstandard if it is installed, else with zlib."""
    if entry.startswith(_ZSTANDARD_MAGIC):
        try:
            import zstandard  # The library is optional.
        except ImportError:  # JAX cannot read the entry either, so it does no harm.
            return True
        unpack, error = zstandard.ZstdDecompressor().decompress, zstandard.ZstdError
    else:
        unpack, error = zlib.decompress, zlib.error
    try:
        unpack(entry)
    except error:
        return False
    return True
