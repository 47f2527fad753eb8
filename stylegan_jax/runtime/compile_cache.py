"""Compiled programs beyond the process: a folder that keeps them, and ending while one is still being compiled."""

import contextlib
import os
import pathlib
import sys
import tempfile
import zlib

import jax
from absl import flags

from stylegan_jax.runtime.compiling import is_compiling

_OFF = '', 'none'
_CHECKED = '.checked'  # a file whose time says when the entries were last looked at
_ENTRIES = '*-cache'  # as JAX names them

CACHE = flags.DEFINE_string(
    'compilation_cache',
    None,
    'Folder that keeps compiled programs for the next start; none '
    'keeps nothing. The default is $JAX_COMPILATION_CACHE_DIR, or stylegan_jax in '
    '$XDG_CACHE_HOME or ~/.cache.',
)


def use_cache(directory=None):
    """Lets JAX keep what took longer than a second to compile in a folder, and look there first.

    To be called before anything is compiled. A folder that cannot be used is said on stderr, and done without.

    Args:
      directory: the folder; made if missing. '' or 'none' switches the cache off; None takes the default.

    Returns:
      The folder, or None.
    """
    directory = _default() if directory is None else directory
    if directory.lower() in _OFF:
        directory = None
    else:
        directory = os.path.abspath(os.path.expanduser(directory))
        try:
            os.makedirs(directory, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                pass
            _drop_torn(pathlib.Path(directory))
        except OSError as error:
            print(
                f'warning: --compilation_cache={directory} cannot be used ({error.strerror or error}); the next '
                'start compiles anew',
                file=sys.stderr,
            )
            directory = None
    jax.config.update('jax_compilation_cache_dir', directory)
    return directory


@contextlib.contextmanager
def abandoned_at_exit():
    """Context for all that a command does; where a thread still compiles at its end, the process ends at once.

    With its exit code, and without what Python does at an end: see `runtime.compiling`. All files that matter must
    be closed by then.
    """
    try:
        yield
    except BaseException as error:
        if not is_compiling():
            raise
        code = _exit_code(error)
        if jax.distributed.is_initialized():
            jax.distributed.shutdown()  # the others would take this process for a lost one
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _exit_code(error):
    """The code that Python would end with, having printed what it would print."""
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def _default():
    caches = os.environ.get('XDG_CACHE_HOME') or os.path.join('~', '.cache')
    return os.environ.get('JAX_COMPILATION_CACHE_DIR') or os.path.join(caches, 'stylegan_jax')


def _drop_torn(directory):
    """Removes entries that were not written to their end, which JAX would read and complain of forever.

    Only those are looked at that came since the last time. One that another process is just writing is lost, too; that
    costs compiling it again.
    """
    stamp = directory / _CHECKED
    checked = stamp.stat().st_mtime_ns if stamp.exists() else 0
    for path in directory.glob(_ENTRIES):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime_ns >= checked and not _is_whole(path.read_bytes()):
                path.unlink()
    stamp.touch()


def _is_whole(entry):
    """Whether an entry can be unpacked; by zstandard, where that was installed when it was written."""
    if entry.startswith(b'\x28\xb5\x2f\xfd'):
        try:
            import zstandard
        except ImportError:  # nor can JAX read it then
            return True
        unpack, error = zstandard.ZstdDecompressor().decompress, zstandard.ZstdError
    else:
        unpack, error = zlib.decompress, zlib.error
    try:
        unpack(entry)
    except error:
        return False
    return True
