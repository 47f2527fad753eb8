"""Files that appear whole or not at all, whatever ends the writing."""

import contextlib
import os


@contextlib.contextmanager
def writing(path, mode='w', *, suffix='.part', to_disk=False):
    """Opens a file that takes its name once everything in it is written; what had the name before stays until then.

    Args:
      path: where it will be; an existing file is replaced.
      mode: 'w' or 'wb'.
      suffix: of its name meanwhile; processes that may write the same file at the same time need different ones.
      to_disk: whether it must be there even if the machine loses its power right afterwards.

    Yields:
      The open file.
    """
    temporary = os.fspath(path) + suffix
    try:
        with open(temporary, mode) as file:
            yield file
            if to_disk:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
